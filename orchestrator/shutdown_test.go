package orchestrator_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestShutdownLetsRunningTasksFinish(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	started, finish := make(chan struct{}), make(chan struct{})
	stop := startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		close(started)
		<-finish
		return []byte(`"done"`), ctx.Err()
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`)
	<-started
	eventually(t, client, "SELECT count(*) FROM orchestrator.leader", 1)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	eventually(t, client, "SELECT count(*) FROM orchestrator.leader WHERE expires_at = '-infinity'", 1) // it is stopping
	close(finish)
	<-stopped
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `"done"`, got)
}

// A worker that is stopped while it is told that it is registered leaves nothing
// behind.
func TestShutdownWhileRegistering(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() {
			stopped <- orchestrator.NewWorker(client, handle(echo, echoPayload), orchestrator.WorkerConfig{}).Run(ctx)
		}()
		for count(t, client, "SELECT count(*) FROM orchestrator.workers") == 0 {
			runtime.Gosched()
		}
		cancel()
		require.NoError(t, <-stopped)
		require.Zero(t, count(t, client, "SELECT count(*) FROM orchestrator.workers"))
	}
}

// eventually waits until query counts n.
func eventually(t *testing.T, client *orchestrator.Client, query string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return count(t, client, query) == n }, 30*time.Second, 2*time.Millisecond, query)
}

func TestShutdownGivesBackWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	started := make(chan struct{})
	causes := make(chan error, 1)
	stop := startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	}), orchestrator.WorkerConfig{ShutdownTimeout: time.Millisecond})
	ref := enqueue(t, client, echo, `{}`)
	<-started
	stop()
	require.ErrorIs(t, <-causes, orchestrator.ErrShutdown)
	after := rowOf(t, client, ref.ID())
	require.Equal(t, "ready", after.State)
	require.Zero(t, after.Attempts)
	require.Empty(t, after.Errors)
	require.Zero(t, count(t, client, "SELECT count(*) FROM orchestrator.workers"))

	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt != 1 {
			return nil, errors.New("an attempt was spent")
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	_, err := result(t, ref)
	require.NoError(t, err)
}

func TestShutdownGivesBackWhatIsClaimedAhead(t *testing.T) {
	t.Parallel()
	const tasks = 3000
	client := orchestratortest.Client(t)
	batch := make([]orchestrator.Request, tasks)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: []byte(`{}`)}
	}
	_, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	var ran atomic.Int32
	enough := make(chan struct{})
	stop := startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		if ran.Add(1) == 1000 {
			close(enough)
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	<-enough
	stop()
	require.Equal(t, tasks-int(ran.Load()), count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 0 AND attempts = 0"))
	require.Equal(t, int(ran.Load()), count(t, client, "SELECT count(*) FROM orchestrator.tasks_finished"))
}

func TestHandlerKeepsTheValuesOfRunsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	client := orchestratortest.Client(t)
	values := make(chan any, 1)
	mux := handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		values <- ctx.Value(key{})
		return nil, nil
	})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	done := make(chan error, 1)
	go func() { done <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx) }()
	enqueue(t, client, echo, `{}`)
	require.Equal(t, "kept", <-values)
	cancel()
	require.NoError(t, <-done)
}

func TestWorkerRunsOnce(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := orchestrator.NewWorker(client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	require.NoError(t, w.Run(ctx))
	require.ErrorContains(t, w.Run(ctx), "called twice")
}

func TestHigherPriorityRunsFirst(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	var want []orchestrator.TaskID
	byPriority := map[int]orchestrator.TaskID{}
	for _, priority := range []int{0, -100, 7, 100, -1, 50} {
		byPriority[priority] = enqueue(t, client, echo, `{}`, orchestrator.WithPriority(priority)).ID()
	}
	for _, priority := range []int{100, 50, 7, 0, -1, -100} {
		want = append(want, byPriority[priority])
	}
	var mu sync.Mutex
	var got []orchestrator.TaskID
	all := make(chan struct{})
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, task.ID); len(got) == len(want) {
			close(all)
		}
		return nil, nil
	}), orchestrator.WorkerConfig{PoolSize: 1})
	<-all
	require.Equal(t, want, got)
}

func TestQueueLimitPerWorker(t *testing.T) {
	t.Parallel()
	narrow := variant("test:narrow", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "narrow", PerWorker: 2} })
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	var running, most atomic.Int32
	mux.Handle(narrow, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		return nil, nil
	}))
	mux.Handle(echo, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }))
	batch := make([]orchestrator.Request, 500)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: narrow, Payload: []byte(`{}`)}
		if i%2 == 0 {
			batch[i].Definition = echo
		}
	}
	_, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 10})
	eventually(t, client, live, 0)
	require.LessOrEqual(t, most.Load(), int32(2))
}

// A queue at its limit must not keep the worker from another queue's tasks,
// nor be forgotten when a slot of its own is free again.
func TestFullQueueDoesNotBlockAnother(t *testing.T) {
	t.Parallel()
	slow := variant("test:slow", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "slow", PerWorker: 1} })
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	release := make(chan struct{})
	mux.Handle(slow, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { <-release; return nil, nil }))
	mux.Handle(echo, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	slowTasks := []orchestrator.TaskRef{enqueue(t, client, slow, `{}`), enqueue(t, client, slow, `{}`), enqueue(t, client, slow, `{}`)}
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 1", 1)
	for range 50 {
		_, err := result(t, enqueue(t, client, echo, `{}`))
		require.NoError(t, err)
	}
	close(release)
	for _, ref := range slowTasks {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
}

func TestMiddlewareWrapsInOrder(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	note := func(name string) orchestrator.Middleware {
		return func(next orchestrator.Handler) orchestrator.Handler {
			return orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
				result, err := next.HandleTask(ctx, task)
				return append([]byte(name), result...), err
			})
		}
	}
	mux.Use(note(`["outer",`), func(next orchestrator.Handler) orchestrator.Handler {
		return orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
			if orchestrator.TaskFromContext(ctx).ID != task.ID {
				return nil, errors.New("another task in the context")
			}
			return next.HandleTask(ctx, task)
		})
	})
	mux.HandleFunc("test:echo", func(context.Context, *orchestrator.Raw) ([]byte, error) { return []byte(`"handler"]`), nil })
	mux.Use(note(`"inner",`))
	ref := enqueue(t, client, echo, `{}`) // stores the contract that HandleFunc goes by
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `["outer","inner","handler"]`, got)
}

func TestRegisteringATypeTwicePanics(t *testing.T) {
	t.Parallel()
	mux := handle(echo, nil)
	require.PanicsWithValue(t, "orchestrator: task type test:echo already has a handler", func() { mux.HandleFunc("test:echo", nil) })
}

func TestUnmigratedDatabaseIsAClearError(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.Migrator().Down(t.Context())
	require.NoError(t, err)
	err = orchestrator.NewWorker(client, handle(echo, nil), orchestrator.WorkerConfig{}).Run(t.Context())
	require.ErrorContains(t, err, "orchestrator migrate up")
}

func TestEmptyURLIsAClearError(t *testing.T) {
	t.Parallel()
	_, err := orchestrator.Open(t.Context(), "")
	require.ErrorContains(t, err, "DATABASE_URL")
	require.ErrorContains(t, err, "orchestrator dev -- COMMAND")
}
