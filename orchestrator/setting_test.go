package orchestrator_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// twoClients are clients of one database: what one changes, workers of the
// other learn as those of another process would.
func twoClients(t *testing.T) (one, other *orchestrator.Client) {
	t.Helper()
	url := orchestratortest.DB(t)
	open := func() *orchestrator.Client {
		client, err := orchestrator.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	}
	return open(), open()
}

// informed are the ways in which a worker learns of changes.
var informed = map[string]orchestrator.WorkerConfig{
	"notified": {ClaimInterval: time.Hour},
	"polling":  {ClaimInterval: 20 * time.Millisecond, PollOnly: true},
}

var (
	slowQueue = variant("test:slow", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "slow"} })
	otherType = variant("test:other", func(*orchestrator.Definition) {})
)

// What is paused is not started, not even by a worker that starts later; what
// runs goes on; what was claimed ahead goes back as it was; and when it is
// resumed it starts at once.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	for _, what := range []struct {
		name, target      string
		pause, pauseAgain func(*orchestrator.Client, context.Context, string, ...orchestrator.SettingOption) error
		resume            func(*orchestrator.Client, context.Context, string) error
		paused, goes      *orchestrator.Definition
	}{
		{"queue", "default", (*orchestrator.Client).PauseQueue, (*orchestrator.Client).PauseQueue, (*orchestrator.Client).ResumeQueue, echo, slowQueue},
		{"type", "test:echo", (*orchestrator.Client).PauseType, (*orchestrator.Client).PauseType, (*orchestrator.Client).ResumeType, echo, otherType},
	} {
		for how, config := range informed {
			t.Run(what.name+" "+how, func(t *testing.T) {
				t.Parallel()
				const tasks = 3000
				client, people := twoClients(t)
				var ran, begun atomic.Int32
				enough, hold := make(chan struct{}), make(chan struct{})
				mux := handle(what.paused, func(context.Context, *orchestrator.Raw) ([]byte, error) {
					if n := begun.Add(1); n == 1000 {
						close(enough)
						<-hold // runs through the pause
					} else if n > 1000 && n < 1100 {
						<-hold // so that something is left to pause
					}
					ran.Add(1)
					return nil, nil
				})
				mux.Handle(what.goes, orchestrator.HandlerFunc(echoPayload))
				batch := make([]orchestrator.Request, tasks)
				for i := range batch {
					batch[i] = orchestrator.Request{Definition: what.paused, Payload: []byte(`{}`)}
				}
				_, err := client.Enqueue(t.Context(), batch)
				require.NoError(t, err)
				worker := orchestrator.NewWorker(client, mux, config)
				stop := runWorker(t, worker)
				<-enough
				require.NoError(t, what.pause(people, t.Context(), what.target))
				require.NoError(t, what.pauseAgain(people, t.Context(), what.target))
				// Only what runs is left with the worker.
				require.Eventually(t, func() bool {
					n := begun.Load()
					return worker.Paused(what.paused.Queue.Name, what.paused.Name) && count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 1") == int(n-ran.Load()) && n == begun.Load()
				}, 30*time.Second, 2*time.Millisecond)
				before := begun.Load()
				require.Less(t, int(before), tasks)
				close(hold)
				_, err = result(t, enqueue(t, client, what.goes, `{}`))
				require.NoError(t, err)
				stop()
				require.Equal(t, before, begun.Load())
				require.Equal(t, before, ran.Load(), "what ran went on")
				left := tasks - int(before)
				require.Equal(t, left, count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 0 AND attempts = 0"))

				startWorker(t, client, mux, config)
				_, err = result(t, enqueue(t, client, what.goes, `{}`))
				require.NoError(t, err)
				require.Equal(t, before, begun.Load(), "a pause outlives workers")
				require.NoError(t, what.resume(people, t.Context(), what.target))
				require.NoError(t, what.resume(people, t.Context(), what.target))
				eventually(t, client, "SELECT count(*) FROM orchestrator.tasks", 0)
				require.Equal(t, int32(tasks), ran.Load())
			})
		}
	}
}

// A name that nobody knows is most likely a wrong one.
func TestSettingsOfUnknownNames(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ctx := t.Context()
	require.ErrorContains(t, client.PauseQueue(ctx, "default"), "no queue is known")
	require.ErrorContains(t, client.PauseType(ctx, "test:echo"), "no contract is stored")
	enqueue(t, client, echo, `{}`)
	enqueue(t, client, echo, `{}`, orchestrator.WithQueue("side"))

	err := client.PauseQueue(ctx, "defaults")
	require.ErrorIs(t, err, orchestrator.ErrUnknownQueue)
	require.EqualError(t, err, `orchestrator: unknown queue "defaults"; did you mean default?`)
	require.ErrorContains(t, client.PauseQueue(ctx, "nothing_like_it"), "no worker works it")
	require.NoError(t, client.PauseQueue(ctx, "side"), "a task waits in it")
	err = client.PauseType(ctx, "test:ecko")
	require.ErrorIs(t, err, orchestrator.ErrUnknownTask)
	require.ErrorContains(t, err, "did you mean test:echo?")
	require.ErrorIs(t, client.ResumeQueue(ctx, "defaults"), orchestrator.ErrUnknownQueue)
	require.ErrorContains(t, client.PauseQueue(ctx, ""), "Its name is empty")
	require.Error(t, client.PauseQueue(ctx, "a\x00b", orchestrator.EvenUnknown()))

	require.NoError(t, client.PauseQueue(ctx, "new", orchestrator.EvenUnknown()))
	require.NoError(t, client.ResumeQueue(ctx, "new"), "known, because it is paused")
	require.ErrorIs(t, client.ResumeQueue(ctx, "new"), orchestrator.ErrUnknownQueue)
	require.NoError(t, client.PauseType(ctx, "test:new", orchestrator.EvenUnknown()))
	require.NoError(t, client.ResumeType(ctx, "test:new"))
}

// queueOf is what the listing says of one queue.
func queueOf(t *testing.T, client *orchestrator.Client, name string) orchestrator.QueueInfo {
	t.Helper()
	queues, err := client.Queues(t.Context())
	require.NoError(t, err)
	for _, q := range queues {
		if q.Queue == name {
			return q
		}
	}
	require.Fail(t, fmt.Sprintf("no queue %s in %v", name, queues))
	return orchestrator.QueueInfo{}
}

func typeOf(t *testing.T, client *orchestrator.Client, name string) orchestrator.TypeInfo {
	t.Helper()
	types, err := client.Types(t.Context())
	require.NoError(t, err)
	for _, one := range types {
		if one.Type == name {
			return one
		}
	}
	require.Fail(t, fmt.Sprintf("no type %s in %v", name, types))
	return orchestrator.TypeInfo{}
}

func TestListingsSayWhatIsChanged(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ctx := t.Context()
	enqueue(t, client, echo, `{}`)
	declared := queueOf(t, client, "default")
	require.Equal(t, orchestrator.QueueInfo{Queue: "default", PerWorker: orchestrator.DefaultQueueConcurrency, Declared: declared.Declared}, declared)
	require.Equal(t, orchestrator.TypeInfo{Type: "test:echo", Queue: "default"}, typeOf(t, client, "test:echo"))

	require.NoError(t, client.PauseQueue(ctx, "default"))
	require.NoError(t, client.PauseType(ctx, "test:echo"))
	require.NoError(t, client.SetQueueConcurrency(ctx, "default", orchestrator.QueueConcurrency{Total: 7}))
	require.NoError(t, client.SetQueueConcurrency(ctx, "default", orchestrator.QueueConcurrency{PerWorker: 3}))
	changed := queueOf(t, client, "default")
	require.WithinDuration(t, time.Now(), changed.PausedAt, time.Hour)
	require.Equal(t, []any{3, 7, true}, []any{changed.PerWorker, changed.Total, changed.Changed})
	require.Equal(t, declared.Declared, changed.Declared)
	require.False(t, typeOf(t, client, "test:echo").PausedAt.IsZero())

	require.NoError(t, client.ResetQueueConcurrency(ctx, "default"))
	require.NoError(t, client.ResumeQueue(ctx, "default"))
	require.NoError(t, client.ResumeType(ctx, "test:echo"))
	require.Equal(t, declared, queueOf(t, client, "default"))
	require.Equal(t, orchestrator.TypeInfo{Type: "test:echo", Queue: "default"}, typeOf(t, client, "test:echo"))
	for _, bad := range []orchestrator.QueueConcurrency{{}, {PerWorker: -1}, {Total: -1}, {Total: 1 << 40}} {
		require.Error(t, client.SetQueueConcurrency(ctx, "default", bad))
	}
}

// per_worker changes what workers that run do, up and down, within
// WORKER_POOL_SIZE.
func TestQueueConcurrencyPerWorkerChangesAtOnce(t *testing.T) {
	t.Parallel()
	for how, config := range informed {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewPedanticRegistry()
			url := orchestratortest.DB(t)
			client, err := orchestrator.Open(t.Context(), url, orchestrator.ClientConfig{Registerer: registry})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, client.Close()) })
			two := variant("test:two", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "two", PerWorker: 2} })
			batch := make([]orchestrator.Request, 100)
			for i := range batch {
				batch[i] = orchestrator.Request{Definition: two, Payload: []byte(`{}`)}
			}
			_, err = client.Enqueue(t.Context(), batch)
			require.NoError(t, err)
			var running atomic.Int32
			next := make(chan struct{})
			handler := func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
				running.Add(1)
				defer running.Add(-1)
				select {
				case <-next:
					return nil, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			config.HeartbeatInterval = 20 * time.Millisecond
			config.ShutdownTimeout = time.Millisecond
			stop := startWorker(t, client, handle(two, handler), config)
			runs := func(n int) {
				t.Helper()
				require.Eventually(t, func() bool { return int(running.Load()) == n }, 30*time.Second, time.Millisecond)
			}
			slots := func(n int) {
				t.Helper()
				eventually(t, client, fmt.Sprintf("SELECT count(*) FROM orchestrator.workers WHERE slots = %d", n), 1)
				require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
					# HELP orchestrator_worker_slots Tasks this process's workers can run at a time.
					# TYPE orchestrator_worker_slots gauge
					orchestrator_worker_slots %d
				`, n)), "orchestrator_worker_slots"))
			}
			set := func(perWorker int) {
				t.Helper()
				require.NoError(t, client.SetQueueConcurrency(t.Context(), "two", orchestrator.QueueConcurrency{PerWorker: perWorker}))
			}
			runs(2)
			set(5)
			runs(5)
			slots(5)
			set(1)
			slots(1)
			require.EqualValues(t, 5, running.Load(), "what runs goes on")
			for range 5 {
				next <- struct{}{}
			}
			runs(1)
			require.NoError(t, client.ResetQueueConcurrency(t.Context(), "two"))
			runs(2)
			stop()

			config.PoolSize = 3
			startWorker(t, client, handle(two, handler), config)
			runs(2)
			set(50)
			runs(3)
			slots(3)
		})
	}
}
