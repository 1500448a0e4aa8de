package orchestrator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// onDuplicate is echo with an idempotency key.
func onDuplicate(name string, on orchestrator.OnDuplicate) *orchestrator.Definition {
	return variant(name, func(d *orchestrator.Definition) { d.Idempotency = &orchestrator.Idempotency{OnDuplicate: on} })
}

// waiting is what the database says of a task that waits.
type waiting struct {
	Payload, Metadata, Queue     string
	Priority                     int
	RunAt, ExpiresAt, DeadlineAt time.Time
}

func waitingTask(t *testing.T, client *orchestrator.Client, id orchestrator.TaskID) (w waiting) {
	t.Helper()
	err := client.DB().NewRaw(`SELECT payload::text, coalesce(metadata::text, ''), queue, priority, run_at, coalesce(expires_at, 'epoch'), coalesce(deadline_at, 'epoch')
		FROM orchestrator.tasks WHERE id = ? AND state <> 1`, int64(id)).
		Scan(t.Context(), &w.Payload, &w.Metadata, &w.Queue, &w.Priority, &w.RunAt, &w.ExpiresAt, &w.DeadlineAt)
	require.NoError(t, err)
	return w
}

func TestReplaceMakesTheWaitingTaskTheNewOne(t *testing.T) {
	t.Parallel()
	d := onDuplicate("test:replaced", orchestrator.Replace)
	client := orchestratortest.Client(t)
	first := enqueue(t, client, d, `{"n": 1}`, orchestrator.WithIdempotencyKey("k"), orchestrator.WithDelay(time.Hour), orchestrator.WithTTL(time.Hour))
	require.False(t, first.Existing())
	before := waitingTask(t, client, first.ID())
	second := enqueue(t, client, d, `{"n": 2}`, orchestrator.WithIdempotencyKey("k"), orchestrator.WithPriority(7), orchestrator.WithQueue("other"),
		orchestrator.WithMetadata(map[string]string{"by": "me"}), orchestrator.WithTTL(2*time.Hour), orchestrator.WithDeadline(3*time.Hour))
	require.True(t, second.Existing())
	require.Equal(t, first.ID(), second.ID())
	after := waitingTask(t, client, first.ID())
	require.Equal(t, waiting{
		Payload: `{"n": 2}`, Metadata: `{"by":"me"}`, Queue: "other", Priority: 7, RunAt: before.RunAt,
		ExpiresAt: before.RunAt.Add(2 * time.Hour), DeadlineAt: before.RunAt.Add(3 * time.Hour),
	}, after, "when it runs is all that stays")
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.tasks"))
}

func TestDebouncePutsTheTaskOff(t *testing.T) {
	t.Parallel()
	d := onDuplicate("test:debounced", orchestrator.Debounce)
	d.TTL, d.Deadline = time.Hour, 2*time.Hour
	client := orchestratortest.Client(t)
	put := func(payload string, delay time.Duration) orchestrator.TaskRef {
		return enqueue(t, client, d, payload, orchestrator.WithIdempotencyKey("k"), orchestrator.WithDelay(delay))
	}
	first := put(`{"n": 1}`, time.Minute)
	for n, delay := range []time.Duration{3 * time.Minute, 2 * time.Minute} { // later and earlier
		began := databaseNow(t, client)
		require.True(t, put(fmt.Sprintf(`{"n": %d}`, n), delay).Existing())
		after := waitingTask(t, client, first.ID())
		require.Equal(t, fmt.Sprintf(`{"n": %d}`, n), after.Payload)
		require.WithinRange(t, after.RunAt, began.Add(delay), databaseNow(t, client).Add(delay))
		require.Equal(t, after.RunAt.Add(time.Hour), after.ExpiresAt)
		require.Equal(t, after.RunAt.Add(2*time.Hour), after.DeadlineAt)
	}
	startWorker(t, client, handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return task.Payload, nil }), orchestrator.WorkerConfig{})
	require.True(t, put(`{"n": 9}`, 0).Existing())
	got, err := result(t, first)
	require.NoError(t, err)
	require.JSONEq(t, `{"n": 9}`, got)
}

// What has begun cannot be replaced; the newest payload runs all the same.
func TestTaskThatHasStartedIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	for _, on := range []orchestrator.OnDuplicate{orchestrator.Replace, orchestrator.Debounce} {
		d := onDuplicate("test:started", on)
		d.Retry = orchestrator.RetryPolicy{Backoff: "constant", Jitter: "none", BaseDelay: time.Hour, MaxDelay: time.Hour}
		client := orchestratortest.Client(t)
		key := orchestrator.WithIdempotencyKey("k")
		running, release := make(chan struct{}, 10), make(chan struct{})
		startWorker(t, client, handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
			switch string(task.Payload) {
			case `"runs"`:
				running <- struct{}{}
				<-release
			case `"fails"`:
				return nil, orchestrator.Code("not_now")
			case `"snoozes"`:
				return nil, orchestrator.Snooze(time.Hour)
			}
			return task.Payload, nil
		}), orchestrator.WorkerConfig{})
		refs := []orchestrator.TaskRef{enqueue(t, client, d, `"runs"`, key)}
		<-running
		refs = append(refs, enqueue(t, client, d, `"done"`, key))
		_, err := result(t, refs[1])
		require.NoError(t, err)
		refs = append(refs, enqueue(t, client, d, `"fails"`, key))
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE attempts = 1 AND state = 0", 1)
		refs = append(refs, enqueue(t, client, d, `"snoozes"`, key))
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE attempts = 0 AND state = 0 AND run_at > now()", 1)
		refs = append(refs, enqueue(t, client, d, `"last"`, key))
		got, err := result(t, refs[4])
		require.NoError(t, err)
		require.Equal(t, `"last"`, got)
		close(release)
		got, err = result(t, refs[0])
		require.NoError(t, err)
		require.Equal(t, `"runs"`, got)
		ids := map[orchestrator.TaskID]bool{}
		for _, ref := range refs {
			require.False(t, ref.Existing())
			ids[ref.ID()] = true
		}
		require.Len(t, ids, 5)
	}
}

// The last of a batch wins, as if each had been enqueued by itself.
func TestReplaceWithinABatch(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for _, on := range []orchestrator.OnDuplicate{orchestrator.Replace, orchestrator.Debounce} {
		d := onDuplicate("test:batch_"+string(on), on)
		var batch []orchestrator.Request
		for n, delay := range []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour} {
			r := orchestrator.Request{Definition: d, Payload: fmt.Appendf(nil, `{"n": %d}`, n), IdempotencyKey: "k"}
			r.Apply([]orchestrator.EnqueueOption{orchestrator.WithDelay(delay)})
			batch = append(batch, r)
		}
		began := databaseNow(t, client)
		refs, err := client.Enqueue(t.Context(), batch)
		require.NoError(t, err)
		require.False(t, refs[0].Existing())
		require.True(t, refs[2].Existing())
		require.Equal(t, refs[0].ID(), refs[2].ID())
		after := waitingTask(t, client, refs[0].ID())
		require.Equal(t, `{"n": 2}`, after.Payload)
		hours := 1
		if on == orchestrator.Debounce {
			hours = 3
		}
		require.Equal(t, hours, int(after.RunAt.Sub(began)/time.Hour))
	}
}

func TestReplaceLivesAndDiesWithTheTransaction(t *testing.T) {
	t.Parallel()
	d := onDuplicate("test:in_tx", orchestrator.Replace)
	d.PayloadSchema = `{"type": "object"}`
	client := orchestratortest.Client(t)
	ref := enqueue(t, client, d, `{"n": 1}`, orchestrator.WithIdempotencyKey("k"))
	for _, commit := range []bool{false, true} {
		tx, err := client.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		again := enqueue(t, client.InTx(tx), d, `{"n": 2}`, orchestrator.WithIdempotencyKey("k"))
		require.True(t, again.Existing())
		require.Equal(t, ref.ID(), again.ID())
		if !commit {
			require.NoError(t, tx.Rollback())
			require.Equal(t, `{"n": 1}`, waitingTask(t, client, ref.ID()).Payload)
			continue
		}
		require.NoError(t, tx.Commit())
		require.Equal(t, `{"n": 2}`, waitingTask(t, client, ref.ID()).Payload)
	}
	again, err := client.EnqueueRaw(t.Context(), d.Name, []byte(`{"n": 3}`), orchestrator.WithIdempotencyKey("k"))
	require.NoError(t, err)
	require.Equal(t, ref.ID(), again.ID())
	require.Equal(t, `{"n": 3}`, waitingTask(t, client, ref.ID()).Payload)
}

// Enqueues of few keys from many goroutines, one by one and in batches of any
// order, while workers claim: nothing deadlocks; a task runs once, with a
// payload that was enqueued for it; and the last payload of each key runs.
func TestClaimOrReplacementWins(t *testing.T) {
	t.Parallel()
	for _, on := range []orchestrator.OnDuplicate{orchestrator.Replace, orchestrator.Debounce} {
		const keys, goroutines, rounds = 8, 64, 12
		d := onDuplicate("test:raced", on)
		client := orchestratortest.Client(t)
		var mu sync.Mutex
		ran := map[orchestrator.TaskID][]string{}
		mux := handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[task.ID] = append(ran[task.ID], string(task.Payload))
			return nil, nil
		})
		for range 2 {
			startWorker(t, client, mux, orchestrator.WorkerConfig{})
		}
		asked := map[orchestrator.TaskID]map[string]bool{} // payloads that handles were given for
		fresh := map[orchestrator.TaskID]int{}
		var all sync.WaitGroup
		put := func(which []int, payload string) {
			batch := make([]orchestrator.Request, len(which))
			for i, k := range which {
				batch[i] = orchestrator.Request{Definition: d, Payload: fmt.Appendf(nil, `{"key": %d, "by": %q}`, k, payload), IdempotencyKey: fmt.Sprint(k)}
			}
			refs, err := client.Enqueue(t.Context(), batch)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, ref := range refs {
				if asked[ref.ID()] == nil {
					asked[ref.ID()] = map[string]bool{}
				}
				asked[ref.ID()][string(batch[i].Payload)] = true
				if !ref.Existing() {
					fresh[ref.ID()]++
				}
			}
		}
		for g := range goroutines {
			all.Go(func() {
				for n := range rounds {
					which := rand.Perm(keys)[:1+rand.IntN(4)]
					put(which, fmt.Sprintf("%d.%d", g, n))
				}
			})
		}
		all.Wait()
		put(rand.Perm(keys), "last")
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks", 0)
		mu.Lock()
		defer mu.Unlock()
		last := 0
		for id, payloads := range ran {
			require.Len(t, payloads, 1, "a task runs once")
			require.True(t, asked[id][payloads[0]], "task %d ran with %s, and nobody was told so", id, payloads[0])
			require.Equal(t, 1, fresh[id])
			if strings.Contains(payloads[0], "last") {
				last++
			}
		}
		require.Len(t, asked, len(ran))
		require.Equal(t, keys, last)
		t.Logf("%d enqueues made %d tasks", goroutines*rounds, len(ran))
	}
}

// A replaced payload may have another group; its task then waits for the turn
// of that, and gives up the turn that it has.
func TestReplaceMovesBetweenGroups(t *testing.T) {
	t.Parallel()
	for _, on := range []orchestrator.OnDuplicate{orchestrator.Replace, orchestrator.Debounce} {
		d := ledger("")
		d.Idempotency = &orchestrator.Idempotency{OnDuplicate: on}
		client, o := orchestratortest.Client(t), newOrder()
		release := make(chan struct{})
		mux := handle(d, o.handler(func(p posting, _ int) error {
			if p.Account == "slow" {
				<-release
			}
			return nil
		}))
		startWorker(t, client, mux, orchestrator.WorkerConfig{})
		slow := post(t, client, d, []posting{{"slow", 1}})
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 1", 1)
		key := orchestrator.WithIdempotencyKey("k")
		first := post(t, client, d, []posting{{"slow", 2}}, key)
		behind := post(t, client, d, []posting{{"slow", 3}})
		again := post(t, client, d, []posting{{"fast", 4}}, key)
		require.Equal(t, first[0].ID(), again[0].ID())
		_, err := result(t, again[0])
		require.NoError(t, err, "it waits for another group no longer")
		close(release)
		await(t, append(slow, behind...))
		require.Equal(t, map[string][]int{"slow": {1, 3}, "fast": {4}}, o.started)
		require.Zero(t, o.overlaps)
		require.Zero(t, count(t, client, "SELECT count(*) FROM orchestrator.groups"))
	}
}

// A task that has its group's turn and is put off lets the others pass.
func TestDebouncedTaskGivesItsTurnUp(t *testing.T) {
	t.Parallel()
	d := ledger("")
	d.Idempotency = &orchestrator.Idempotency{OnDuplicate: orchestrator.Debounce}
	for _, inTx := range []bool{false, true} {
		client := orchestratortest.Client(t)
		leadElsewhere(t, client) // a leader would settle turns that are left behind
		ref := post(t, client, d, []posting{{"g", 1}}, orchestrator.WithIdempotencyKey("k"))[0]
		next := post(t, client, d, []posting{{"g", 2}})[0]
		// As an arrival makes it whose task no worker has claimed yet.
		_, err := client.DB().ExecContext(t.Context(), `WITH won AS (UPDATE orchestrator.tasks SET state = 0, waits_for = 0 WHERE id = ? RETURNING group_key)
			INSERT INTO orchestrator.groups (key) SELECT group_key FROM won`, int64(ref.ID()))
		require.NoError(t, err)
		tx, err := client.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		var e orchestrator.Enqueuer = client
		if inTx {
			e = client.InTx(tx)
		}
		again := post(t, e, d, []posting{{"g", 3}}, orchestrator.WithIdempotencyKey("k"), orchestrator.WithDelay(time.Hour))[0]
		require.NoError(t, tx.Commit())
		require.Equal(t, ref.ID(), again.ID())
		require.Equal(t, "scheduled", rowOf(t, client, ref.ID()).State)
		startWorker(t, client, handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return task.Payload, nil }), orchestrator.WorkerConfig{})
		got, err := result(t, next)
		require.NoError(t, err)
		var p posting
		require.NoError(t, json.Unmarshal([]byte(got), &p))
		require.Equal(t, 2, p.N)
		eventually(t, client, "SELECT count(*) FROM orchestrator.groups", 0)
	}
}
