package integration_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// gauge counts handlers that run, of all workers in this process.
type gauge struct {
	mu        sync.Mutex
	now, most int
	ran       int
	hold      chan struct{} // handlers wait for it; nil: they take a moment
}

func (g *gauge) handle(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	hold := g.hold
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.ran++
		g.mu.Unlock()
	}()
	var worked <-chan time.Time
	if hold == nil {
		worked = time.After(2 * time.Millisecond)
	}
	select {
	case <-worked:
		return nil, nil
	case <-hold:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (g *gauge) read() (now, most, ran int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.most, g.ran
}

// await returns when n handlers run.
func (g *gauge) await(t *testing.T, n int) {
	t.Helper()
	harness.Await(t, "handlers that run", func() bool {
		now, _, _ := g.read()
		return now == n
	})
}

// let lets those that wait go on and the next ones wait for hold.
func (g *gauge) let(hold chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold != nil {
		close(g.hold)
	}
	g.hold, g.most = hold, g.now
}

// granted is the sum over all workers.
const granted = `SELECT coalesce(sum(granted), 0)::int = $1 FROM queue_grants WHERE queue = 'limited'`

// The total of a queue is used, and never exceeded, by workers that come, go
// and die, and while it is changed.
func TestQueueTotal(t *testing.T) {
	t.Parallel()
	for how, pollOnly := range map[string]bool{"notified": false, "polling": true} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			db, client := harness.Observe(t, url), harness.Open(t, url)
			config := harness.Brisk()
			config.PollOnly = pollOnly
			g := &gauge{hold: make(chan struct{})}
			start := func() (stop func()) {
				return harness.StartWorker(t, harness.Open(t, url), harness.Mux(g.handle, harness.Limited), config)
			}
			const tasks = 2000
			harness.Enqueue(t, client, harness.Limited, tasks)

			// A worker that is killed takes its grant with it.
			killed := harness.Start(t, "worker", hasty(url, "HANDLER_TIME=1h")...)
			db.AwaitTrue(t, `SELECT count(*) = 4 FROM tasks WHERE state = 1`)
			db.AwaitTrue(t, granted, 4)
			stopFirst := start()
			start()
			db.AwaitTrue(t, `SELECT count(*) = 3 FROM workers`)
			now, _, _ := g.read()
			require.Zero(t, now, "all is granted to the other")
			killed.Kill(t)
			g.await(t, 4)
			db.AwaitTrue(t, granted, 4)

			// One that comes gets its share as tasks end.
			start()
			db.AwaitTrue(t, `SELECT count(*) = 3 FROM workers`)
			harness.Await(t, "each to have a share", func() bool {
				g.await(t, 4)
				g.let(make(chan struct{}))
				return harness.Value[int](t, db, `SELECT count(*) FROM queue_grants WHERE granted > 0`) == 3
			})
			_, most, soFar := g.read()
			require.LessOrEqual(t, most, 4)
			t.Logf("a new worker had its share after %d tasks", soFar)

			// More, and less.
			g.let(make(chan struct{}))
			require.NoError(t, client.SetQueueConcurrency(t.Context(), "limited", orchestrator.QueueConcurrency{Total: 7}))
			g.await(t, 7)
			require.NoError(t, client.SetQueueConcurrency(t.Context(), "limited", orchestrator.QueueConcurrency{Total: 2}))
			harness.Await(t, "workers to know", func() bool {
				queues, err := client.Queues(t.Context())
				require.NoError(t, err)
				for _, q := range queues {
					if q.Queue == "limited" {
						require.Equal(t, 2, q.Total)
						return q.Granted == 7 // what runs is kept
					}
				}
				return false
			})
			harness.Await(t, "grants that fit", func() bool {
				g.let(make(chan struct{})) // a worker that does not know yet starts as many again
				return harness.Value[bool](t, db, granted, 2)
			})
			g.await(t, 2)
			g.let(nil)
			harness.Await(t, "tasks that have run", func() bool { _, _, ran := g.read(); return ran > soFar+250 })
			_, most, _ = g.read()
			require.Equal(t, 2, most)

			// One that stops gives its grant to the others.
			require.NoError(t, client.ResetQueueConcurrency(t.Context(), "limited"))
			g.let(make(chan struct{}))
			g.await(t, 4)
			g.let(nil)
			stopFirst()
			g.let(make(chan struct{}))
			g.await(t, 4)
			g.let(nil)
			db.AwaitDrained(t)
			_, most, ran := g.read()
			require.Equal(t, tasks, ran)
			require.Equal(t, 4, most)
		})
	}
}

// Of a total that is less than there are workers, those have it that can use
// it: a worker that does not know the waiting tasks must not keep it.
func TestQueueTotalGoesToWhoCanUseIt(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	require.NoError(t, client.SetQueueConcurrency(t.Context(), "limited", orchestrator.QueueConcurrency{Total: 1}, orchestrator.EvenUnknown()))
	another := *harness.Limited
	another.Name, another.Fingerprint = "test:another", "v1:another"
	g := &gauge{}
	harness.StartWorker(t, client, harness.Mux(g.handle, harness.Limited), harness.Brisk())
	harness.Enqueue(t, client, harness.Limited, 10)
	db.AwaitDrained(t)
	harness.StartWorker(t, harness.Open(t, url), harness.Mux(g.handle, &another), harness.Brisk())
	for range 3 {
		harness.Enqueue(t, client, &another, 10)
		db.AwaitDrained(t)
		harness.Enqueue(t, client, harness.Limited, 10)
		db.AwaitDrained(t)
	}
	_, most, _ := g.read()
	require.Equal(t, 1, most)
}
