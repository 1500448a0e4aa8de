package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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
