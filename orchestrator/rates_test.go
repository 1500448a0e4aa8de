package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// paced is echo with a rate limit.
func paced(name string, limit orchestrator.RateLimit) *orchestrator.Definition {
	return variant(name, func(d *orchestrator.Definition) { d.RateLimit = &limit })
}

// once an hour: what the bucket holds at first is all there is in a test.
func hourly(burst int) orchestrator.RateLimit {
	return orchestrator.RateLimit{Count: 1, Per: time.Hour, Burst: burst}
}

func enqueueMany(t testing.TB, e orchestrator.Enqueuer, d *orchestrator.Definition, n int, opts ...orchestrator.EnqueueOption) {
	t.Helper()
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: d, Payload: []byte(`{}`)}
		batch[i].Apply(opts)
	}
	_, err := e.Enqueue(t.Context(), batch)
	require.NoError(t, err)
}

func databaseNow(t testing.TB, client *orchestrator.Client) (now time.Time) {
	t.Helper()
	require.NoError(t, client.DB().NewRaw("SELECT now()").Scan(t.Context(), &now))
	return now
}

// claims are when the finished tasks that condition chooses were claimed, in
// order, by the database's clock.
func claims(t testing.TB, client *orchestrator.Client, condition string) (at []time.Time) {
	t.Helper()
	require.NoError(t, client.DB().NewRaw(
		"SELECT claimed_at FROM orchestrator.all_tasks WHERE place = 'finished' AND "+condition+" ORDER BY claimed_at").Scan(t.Context(), &at))
	return at
}

// requirePaced checks that at no time since began more had started than the
// bucket held at first and what has come since.
func requirePaced(t testing.TB, began time.Time, claimed []time.Time, burst, perSecond float64) {
	t.Helper()
	for i, at := range claimed {
		require.LessOrEqual(t, float64(i+1), burst+perSecond*at.Sub(began).Seconds()+1e-3, "%s after the beginning", at.Sub(began))
	}
	took := claimed[len(claimed)-1].Sub(began).Seconds()
	t.Logf("%d starts in %.2fs: %+.1f %% of the rate", len(claimed), took, 100*(float64(len(claimed))/(burst+perSecond*took)-1))
}

func TestRateLimitOfATypeHoldsOnAllWorkersTogether(t *testing.T) {
	t.Parallel()
	d := paced("test:paced", orchestrator.RateLimit{Count: 200, Per: time.Second})
	client := orchestratortest.Client(t)
	mux := handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil })
	for range 3 {
		startWorker(t, client, mux, orchestrator.WorkerConfig{})
	}
	eventually(t, client, "SELECT count(*) FROM orchestrator.workers WHERE idle", 3)
	began := databaseNow(t, client)
	enqueueMany(t, client, d, 300)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 300)
	requirePaced(t, began, claims(t, client, "true"), 20, 200) // by default a tenth of a second
}

func TestRateLimitOfAQueueBoundsAllItsTasks(t *testing.T) {
	t.Parallel()
	queue := &orchestrator.Queue{Name: "mail", RateLimit: &orchestrator.RateLimit{Count: 150, Per: time.Second, Burst: 5}}
	inQueue := func(d *orchestrator.Definition) *orchestrator.Definition {
		d.Queue = queue
		return d
	}
	plain := inQueue(variant("test:plain", func(*orchestrator.Definition) {}))
	slow := inQueue(paced("test:slow", orchestrator.RateLimit{Count: 40, Per: time.Second, Burst: 2}))
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	for _, d := range []*orchestrator.Definition{plain, slow} {
		mux.Handle(d, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }))
	}
	began := databaseNow(t, client)
	for priority := range 4 {
		enqueueMany(t, client, plain, 40, orchestrator.WithPriority(priority))
		enqueueMany(t, client, slow, 10, orchestrator.WithPriority(priority))
	}
	for range 2 {
		startWorker(t, client, mux, orchestrator.WorkerConfig{})
	}
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 200)
	requirePaced(t, began, claims(t, client, "true"), 5, 150)
	requirePaced(t, began, claims(t, client, "task_type = 'test:slow'"), 2, 40)
}

func TestTypeThatWaitsForTokensHoldsUpNobody(t *testing.T) {
	t.Parallel()
	d := paced("test:rare", hourly(1))
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	var rare atomic.Int32
	mux.Handle(d, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		rare.Add(1)
		return nil, nil
	}))
	mux.Handle(echo, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }))
	enqueueMany(t, client, d, 100, orchestrator.WithPriority(100))
	enqueueMany(t, client, echo, 100)
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished WHERE priority = 0", 100)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished WHERE priority = 100", 1)
	require.Equal(t, int32(1), rare.Load())
}

func TestEachAttemptTakesAToken(t *testing.T) {
	t.Parallel()
	d := paced("test:failing", hourly(2))
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	var calls atomic.Int32
	mux.Handle(d, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		calls.Add(1)
		return nil, errors.New("not yet")
	}))
	mux.Handle(echo, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	enqueue(t, client, d, `{}`)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE attempts = 2 AND state = 0 AND run_at <= now() AND sublane = 'test:failing'", 1)
	// A task that comes after it is done, and it has not started again.
	_, err := result(t, enqueue(t, client, echo, `{}`, orchestrator.WithPriority(-100)))
	require.NoError(t, err)
	require.Equal(t, int32(2), calls.Load())
}

// The rate limit is newer than the tasks: whoever enqueued them put them in
// the lane of everybody, from where they must not pass it.
func TestTasksFromBeforeTheRateLimitKeepIt(t *testing.T) {
	t.Parallel()
	const n = 50
	before := variant("test:changed", func(*orchestrator.Definition) {})
	after := paced("test:changed", hourly(3))
	client := orchestratortest.Client(t)
	enqueueMany(t, client, before, n)
	startWorker(t, client, handle(after, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 3)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 0 AND attempts = 0 AND sublane = 'test:changed'", n-3)
	enqueueMany(t, client, before, n) // by a program that has not been deployed yet
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 0 AND attempts = 0 AND sublane = 'test:changed'", 2*n-3)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 3)
}

func TestTasksRunAfterTheirRateLimitIsGone(t *testing.T) {
	t.Parallel()
	before := paced("test:freed", hourly(1))
	after := variant("test:freed", func(*orchestrator.Definition) {})
	for _, pollOnly := range []bool{false, true} {
		client := orchestratortest.Client(t)
		enqueueMany(t, client, before, 20)
		startWorker(t, client, handle(after, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }),
			orchestrator.WorkerConfig{PollOnly: pollOnly})
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 20)
		enqueueMany(t, client, before, 20, orchestrator.WithPriority(7)) // by a program that has not been deployed yet
		eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished", 40)
	}
}

func TestTokensThatNobodyUsesComeBack(t *testing.T) {
	t.Parallel()
	d := paced("test:seldom", hourly(100))
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	for i := range 3 {
		_, err := result(t, enqueue(t, client, d, `{}`))
		require.NoError(t, err)
		eventually(t, client, fmt.Sprintf("SELECT count(*) FROM orchestrator.rate_buckets WHERE key = 'task:test:seldom' AND floor(tokens) = %d", 100-i-1), 1)
	}
}

// Whatever way a task comes into the queue or back into it, it is in the lane
// of its type.
func TestTasksOfARateLimitedTypeAreInTheirLane(t *testing.T) {
	t.Parallel()
	d := paced("test:lane", hourly(1))
	d.PayloadSchema = `{"type": "object"}`
	client := orchestratortest.Client(t)
	enqueue(t, client, d, `{}`)
	enqueueMany(t, client, d, 2)
	enqueue(t, client, d, `{}`, orchestrator.WithIdempotencyKey("a"))
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	enqueue(t, client.InTx(tx), d, `{}`)
	enqueue(t, client.InTx(tx), d, `{}`, orchestrator.WithIdempotencyKey("b"))
	require.NoError(t, tx.Commit())
	_, err = client.EnqueueRaw(t.Context(), "test:lane", []byte(`{}`))
	require.NoError(t, err)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE sublane = 'test:lane'", 7)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks", 7)

	stop := startWorker(t, client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		return nil, orchestrator.Permanent(errors.New("no"))
	}), orchestrator.WorkerConfig{})
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_dead WHERE sublane = 'test:lane'", 1)
	stop()
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE sublane = 'test:lane'", 7)
}

// Workers that only hear of a lane by a notification look into it at once.
func TestRateLimitedTaskWakesAnotherProcess(t *testing.T) {
	t.Parallel()
	d := paced("test:woken", hourly(10))
	url := orchestratortest.DB(t)
	open := func() *orchestrator.Client {
		client, err := orchestrator.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	}
	working, enqueuing := open(), open()
	startWorker(t, working, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	eventually(t, working, "SELECT count(*) FROM orchestrator.workers WHERE idle", 1)
	for range 3 {
		_, err := result(t, enqueue(t, enqueuing, d, `{}`, orchestrator.WithPriority(-3)))
		require.NoError(t, err)
	}
}

// BenchmarkRateLimit measures how well three workers together keep to a rate:
// starts in ten seconds of a backlog against the rate.
//
//	go test ./orchestrator -run '^$' -bench RateLimit -benchtime 1x
func BenchmarkRateLimit(b *testing.B) {
	const window = 10 * time.Second
	for _, perSecond := range []int{1, 10, 50, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("rate=%d", perSecond), func(b *testing.B) {
			d := paced("test:measured", orchestrator.RateLimit{Count: perSecond, Per: time.Second})
			for b.Loop() {
				client := orchestratortest.Client(b)
				backlog := 3 * perSecond * int(window/time.Second) / 2
				for left := backlog; left > 0; left -= 5000 {
					enqueueMany(b, client, d, min(left, 5000))
				}
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 3)
				mux := handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil })
				for range cap(ended) {
					go func() { ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx) }()
				}
				// The first second empties the bucket.
				<-time.After(time.Second)
				var last time.Time
				from := databaseNow(b, client)
				<-time.After(window)
				last = databaseNow(b, client)
				cancel()
				for range cap(ended) {
					require.NoError(b, <-ended)
				}
				n := 0
				for _, at := range claims(b, client, "true") {
					if at.After(from) && !at.After(last) {
						n++
					}
				}
				want := float64(perSecond) * last.Sub(from).Seconds()
				b.ReportMetric(float64(n), "starts")
				b.ReportMetric(100*(float64(n)/want-1), "%off")
			}
		})
	}
}
