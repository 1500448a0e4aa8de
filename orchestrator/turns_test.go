package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// ledger has tasks that run one at a time per account.
func ledger(onDead string) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: "ledger:post", Queue: &orchestrator.Queue{Name: "default"}, Timeout: time.Minute,
		Retry: orchestrator.RetryPolicy{BaseDelay: time.Millisecond, MaxAttempts: 3},
		Group: []string{"account"}, OnDead: onDead,
		Fingerprint: "v1:ledger", PayloadSchema: `{"type": "object", "properties": {"account": {"type": "string"}}}`,
	}
}

type posting struct {
	Account string `json:"account"`
	N       int    `json:"n"`
}

// post enqueues tasks, as many as there are accounts, in one batch.
func post(t *testing.T, e orchestrator.Enqueuer, d *orchestrator.Definition, postings []posting, opts ...orchestrator.EnqueueOption) []orchestrator.TaskRef {
	t.Helper()
	batch := make([]orchestrator.Request, len(postings))
	for i, p := range postings {
		payload, err := json.Marshal(p)
		require.NoError(t, err)
		batch[i] = orchestrator.Request{Definition: d, Payload: payload, GroupKey: fmt.Sprintf("[%q]", p.Account), LimitKey: fmt.Sprintf("[%q]", p.Account)}
		batch[i].Apply(opts)
	}
	refs, err := e.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	return refs
}

// order notes which tasks of a group started when, and that none overlapped.
type order struct {
	mu       sync.Mutex
	running  map[string]int
	started  map[string][]int
	overlaps int
}

func newOrder() *order { return &order{running: map[string]int{}, started: map[string][]int{}} }

func (o *order) start(p posting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running[p.Account]++; o.running[p.Account] > 1 {
		o.overlaps++
	}
	if started := o.started[p.Account]; len(started) == 0 || started[len(started)-1] != p.N { // not a retry
		o.started[p.Account] = append(started, p.N)
	}
}

func (o *order) end(p posting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running[p.Account]--
}

func (o *order) check(t *testing.T, groups, each int) {
	t.Helper()
	require.Zero(t, o.overlaps)
	require.Len(t, o.started, groups)
	for account, started := range o.started {
		require.IsIncreasing(t, started, account)
		require.Len(t, started, each, account)
	}
}

func (o *order) handler(fail func(posting, int) error) orchestrator.HandlerFunc {
	return func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		var p posting
		if err := json.Unmarshal(task.Payload, &p); err != nil {
			return nil, err
		}
		o.start(p)
		defer o.end(p)
		return nil, fail(p, task.Attempt)
	}
}

// await waits for the end of all tasks, however they end.
func await(t *testing.T, refs []orchestrator.TaskRef) {
	t.Helper()
	handles := make([]orchestrator.Handle[struct{}], len(refs))
	for i, ref := range refs {
		handles[i] = orchestrator.Handle[struct{}]{TaskRef: ref, Decode: func([]byte) (struct{}, error) { return struct{}{}, nil }}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, err := range orchestrator.Results(ctx, handles) {
		var ended *orchestrator.TaskError
		if err != nil && !errors.As(err, &ended) {
			require.NoError(t, err)
		}
	}
}

func TestGroupsRunInOrderAndNeverOverlap(t *testing.T) {
	t.Parallel()
	const groups, each = 40, 25
	client, d, o := orchestratortest.Client(t), ledger(""), newOrder()
	mux := orchestrator.NewMux()
	mux.Handle(d, o.handler(func(posting, int) error {
		switch rand.IntN(20) {
		case 0:
			return errors.New("not now")
		case 1:
			return orchestrator.Snooze(time.Duration(rand.IntN(5)) * time.Millisecond)
		case 2:
			panic("oh")
		}
		return nil
	}))
	var all []orchestrator.TaskRef
	for range 3 {
		startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 8})
	}
	for n := range each {
		var some []posting
		for account := range groups {
			some = append(some, posting{fmt.Sprint("a", account), n})
		}
		all = append(all, post(t, client, d, some)...)
	}
	await(t, all)
	o.check(t, groups, each)
}

// gate is a handler whose tasks say that they have started; those of one
// account wait to be let through.
type gate struct {
	started chan posting
	account string
	through chan error
}

func newGate(account string) *gate {
	return &gate{started: make(chan posting, 100), account: account, through: make(chan error)}
}

func (g *gate) handle(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
	var p posting
	if err := json.Unmarshal(task.Payload, &p); err != nil {
		return nil, err
	}
	g.started <- p
	if p.Account != g.account {
		return nil, nil
	}
	select {
	case err := <-g.through:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next returns what starts next.
func (g *gate) next(t *testing.T) posting {
	t.Helper()
	select {
	case p := <-g.started:
		return p
	case <-time.After(30 * time.Second):
		require.Fail(t, "nothing starts")
		return posting{}
	}
}

func (g *gate) let(t *testing.T, err error) {
	t.Helper()
	select {
	case g.through <- err:
	case <-time.After(30 * time.Second):
		require.Fail(t, "nothing waits")
	}
}

func TestBlockedGroupHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	client, d, g := orchestratortest.Client(t), ledger(""), newGate("a")
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(g.handle))
	mux.Handle(echo, orchestrator.HandlerFunc(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return task.Payload, nil }))
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 2})
	var some []posting
	for n := range 50 {
		some = append(some, posting{"a", n})
	}
	held := post(t, client, d, some)
	require.Equal(t, posting{"a", 0}, g.next(t))
	_, err := result(t, enqueue(t, client, echo, `{}`))
	require.NoError(t, err)
	await(t, post(t, client, d, []posting{{"b", 0}, {"b", 1}}))
	require.Equal(t, []posting{{"b", 0}, {"b", 1}}, []posting{g.next(t), g.next(t)})
	info, err := client.TaskInfo(t.Context(), held[1].ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Blocked, info.State)
	for n := range some {
		if n > 0 {
			require.Equal(t, posting{"a", n}, g.next(t))
		}
		g.let(t, nil)
	}
	await(t, held)
}

func TestGroupWaitsForARetry(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"error": errors.New("not now"), "retry after": orchestrator.RetryAfter(20*time.Millisecond, errors.New("soon")), "snooze": orchestrator.Snooze(20 * time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, d, g := orchestratortest.Client(t), ledger(""), newGate("a")
			mux := orchestrator.NewMux()
			mux.Handle(d, orchestrator.HandlerFunc(g.handle))
			startWorker(t, client, mux, orchestrator.WorkerConfig{})
			refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}})
			require.Equal(t, posting{"a", 0}, g.next(t))
			g.let(t, failure)
			require.Equal(t, posting{"a", 0}, g.next(t))
			g.let(t, nil)
			require.Equal(t, posting{"a", 1}, g.next(t))
			g.let(t, nil)
			await(t, refs)
		})
	}
}

func TestDeadLetterSkipsItsGroup(t *testing.T) {
	t.Parallel()
	client, d, g := orchestratortest.Client(t), ledger(orchestrator.OnDeadSkip), newGate("a")
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(g.handle))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}})
	g.next(t)
	g.let(t, orchestrator.Permanent(errors.New("no")))
	require.Equal(t, posting{"a", 1}, g.next(t))

	// Redriven, it waits for its turn like any other.
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	info, err := client.TaskInfo(t.Context(), refs[0].ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Blocked, info.State)
	g.let(t, nil)
	require.Equal(t, posting{"a", 0}, g.next(t))
	g.let(t, nil)
	await(t, refs)
}

func TestDeadLetterBlocksItsGroup(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]func(*orchestrator.Client) (int, error){
		"until it is redriven": func(c *orchestrator.Client) (int, error) { return c.Redrive(t.Context(), orchestrator.DeadFilter{}) },
		"until it is purged":   func(c *orchestrator.Client) (int, error) { return c.PurgeDead(t.Context(), orchestrator.DeadFilter{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, d, g := orchestratortest.Client(t), ledger(orchestrator.OnDeadBlock), newGate("a")
			mux := orchestrator.NewMux()
			mux.Handle(d, orchestrator.HandlerFunc(g.handle))
			startWorker(t, client, mux, orchestrator.WorkerConfig{})
			refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}})
			g.next(t)
			g.let(t, orchestrator.Permanent(errors.New("no")))
			await(t, refs[:1])
			// Others come and go; the group stays.
			await(t, post(t, client, d, []posting{{"b", 0}, {"b", 1}, {"b", 2}}))
			for range 3 {
				require.Equal(t, "b", g.next(t).Account)
			}
			info, err := client.TaskInfo(t.Context(), refs[1].ID())
			require.NoError(t, err)
			require.Equal(t, orchestrator.Blocked, info.State)

			n, err := release(client)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			if name == "until it is redriven" {
				require.Equal(t, posting{"a", 0}, g.next(t))
				g.let(t, nil)
			}
			require.Equal(t, posting{"a", 1}, g.next(t))
			g.let(t, nil)
			await(t, refs[1:])
		})
	}
}

func TestDelayedTaskJoinsItsGroupWhenDue(t *testing.T) {
	t.Parallel()
	client, d, g := orchestratortest.Client(t), ledger(""), newGate("")
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(g.handle))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	late := post(t, client, d, []posting{{"a", 0}}, orchestrator.WithDelay(time.Second))
	soon := post(t, client, d, []posting{{"a", 1}})
	await(t, soon)
	await(t, late)
	require.Equal(t, []posting{{"a", 1}, {"a", 0}}, []posting{g.next(t), g.next(t)})
}

func TestCompleteHandsItsTurnOver(t *testing.T) {
	t.Parallel()
	client, d, o := orchestratortest.Client(t), ledger(""), newOrder()
	d.Concurrency = &orchestrator.Concurrency{Total: 1, By: []string{"account"}}
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		var p posting
		if err := json.Unmarshal(task.Payload, &p); err != nil {
			return nil, err
		}
		o.start(p) // it ends with its commit, of which only the database can tell
		tx, err := client.DB().BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = tx.Rollback() }()
		if err := task.Complete(ctx, tx, nil); err != nil {
			return nil, err
		}
		if task.Attempt == 1 && p.N%3 == 0 {
			return nil, errors.New("rolled back")
		}
		return nil, tx.Commit()
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	var some []posting
	for n := range 12 {
		some = append(some, posting{"a", n})
	}
	refs := post(t, client, d, some)
	await(t, refs)
	for _, ref := range refs {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
	require.IsIncreasing(t, o.started["a"])
	require.Len(t, o.started["a"], len(refs))
}

// limited has tasks of which two run at a time, per account or of all.
func limited(by ...string) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: "report:build", Queue: &orchestrator.Queue{Name: "default"}, Timeout: time.Minute,
		Retry:       orchestrator.RetryPolicy{BaseDelay: time.Millisecond, MaxAttempts: 5},
		Concurrency: &orchestrator.Concurrency{Total: 2, By: by},
		Fingerprint: "v1:report", PayloadSchema: `{"type": "object", "properties": {"account": {"type": "string"}}}`,
	}
}

func TestLimitsAreReachedAndKept(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*orchestrator.Definition{"of a type": limited(), "per value": limited("account")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := orchestratortest.Client(t)
			var mu sync.Mutex
			running, most := map[string]int{}, map[string]int{}
			count := func(p posting, by int) {
				mu.Lock()
				defer mu.Unlock()
				key := ""
				if len(d.Concurrency.By) > 0 {
					key = p.Account
				}
				running[key] += by
				most[key] = max(most[key], running[key])
			}
			mux := orchestrator.NewMux()
			mux.Handle(d, orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
				var p posting
				if err := json.Unmarshal(task.Payload, &p); err != nil {
					return nil, err
				}
				count(p, 1)
				defer count(p, -1)
				if _, err := client.DB().ExecContext(ctx, "SELECT pg_sleep(random() / 300)"); err != nil { // the work
					return nil, err
				}
				switch rand.IntN(10) {
				case 0:
					return nil, errors.New("not now")
				case 1:
					return nil, orchestrator.Snooze(time.Millisecond)
				}
				return nil, nil
			}))
			for range 3 {
				startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 8})
			}
			var some []posting
			for n := range 150 {
				some = append(some, posting{fmt.Sprint("a", n%3), n})
			}
			await(t, post(t, client, d, some))
			want := map[string]int{"": 2}
			if len(d.Concurrency.By) > 0 {
				want = map[string]int{"a0": 2, "a1": 2, "a2": 2}
			}
			require.Equal(t, want, most)
			var left int
			require.NoError(t, client.DB().NewRaw("SELECT count(*) FROM orchestrator.slots").Scan(t.Context(), &left))
			require.Zero(t, left, "slots that nobody has")
		})
	}
}

// A limit that a new version of the spec has taken away holds nobody up.
func TestTasksOfALimitThatIsGone(t *testing.T) {
	t.Parallel()
	client, d := orchestratortest.Client(t), limited()
	refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}, {"a", 2}, {"a", 3}})
	free, g := *d, newGate("a")
	free.Concurrency = nil
	mux := orchestrator.NewMux()
	mux.Handle(&free, orchestrator.HandlerFunc(g.handle))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	for range refs {
		g.next(t)
	}
	for range refs {
		g.let(t, nil)
	}
	await(t, refs)
}

// Groups that always have more tasks do not keep all slots of a worker from a
// task that comes while they do.
func TestGroupsLeaveSlotsToOthers(t *testing.T) {
	t.Parallel()
	client, d, o := orchestratortest.Client(t), ledger(""), newOrder()
	const groups, each = 2, 400
	var postings []posting
	for n := range each {
		for group := range groups {
			postings = append(postings, posting{fmt.Sprint(group), n})
		}
	}
	refs := post(t, client, d, postings)
	var ended atomic.Int64
	begun, proceed := make(chan struct{}, len(refs)), make(chan struct{})
	mux := handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return json.Marshal(ended.Load()) })
	mux.Handle(d, o.handler(func(posting, int) error {
		begun <- struct{}{}
		<-proceed
		ended.Add(1)
		return nil
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: groups})
	for range groups {
		<-begun
	}
	other := enqueue(t, client, echo, `{}`)
	close(proceed)
	before, err := result(t, other)
	require.NoError(t, err)
	await(t, refs)
	o.check(t, groups, each)
	n, err := strconv.Atoi(before)
	require.NoError(t, err)
	require.Less(t, n, groups*each/2, "tasks of groups before the other")
}

// Somebody keeps the next task of a group locked while the one before it ends.
func TestLockedTaskGetsItsTurnLater(t *testing.T) {
	t.Parallel()
	client, d, g := orchestratortest.Client(t), ledger(""), newGate("a")
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(g.handle))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}, {"a", 2}})
	g.next(t)
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Commit()) }()
	_, err = tx.NewRaw("SELECT FROM orchestrator.tasks WHERE id = ? FOR UPDATE", int64(refs[1].ID())).Exec(t.Context())
	require.NoError(t, err)
	g.let(t, nil)
	await(t, refs[:1])
	for _, ref := range refs[1:] {
		info, err := client.TaskInfo(t.Context(), ref.ID())
		require.NoError(t, err)
		require.Equal(t, orchestrator.Blocked, info.State, "nobody passes the one that is locked")
	}
	require.NoError(t, tx.Commit())
	tx, err = client.DB().BeginTx(t.Context(), nil) // for the deferred end
	require.NoError(t, err)
	for n := 1; n < 3; n++ {
		require.Equal(t, posting{"a", n}, g.next(t))
		g.let(t, nil)
	}
	await(t, refs)
}
