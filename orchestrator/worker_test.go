package orchestrator_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(orchestratortest.Main(m))
	os.Exit(0)
}

var echo = &orchestrator.Definition{
	Name: "test:echo", Queue: &orchestrator.Queue{Name: "default"}, Timeout: time.Minute,
	Retry:       orchestrator.RetryPolicy{BaseDelay: time.Millisecond},
	Fingerprint: "v1:echo", PayloadSchema: `{"type": "object"}`,
}

// startWorker runs a worker until the test ends or stop is called.
func startWorker(t *testing.T, client *orchestrator.Client, mux *orchestrator.Mux, config orchestrator.WorkerConfig) (stop func()) {
	t.Helper()
	return runWorker(t, orchestrator.NewWorker(client, mux, config))
}

func runWorker(t *testing.T, worker *orchestrator.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, e orchestrator.Enqueuer, d *orchestrator.Definition, payload string, opts ...orchestrator.EnqueueOption) orchestrator.TaskRef {
	t.Helper()
	r := orchestrator.Request{Definition: d, Payload: []byte(payload)}
	r.Apply(opts)
	refs, err := e.Enqueue(t.Context(), []orchestrator.Request{r})
	require.NoError(t, err)
	require.Len(t, refs, 1)
	return refs[0]
}

func result(t *testing.T, ref orchestrator.TaskRef) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	h := orchestrator.Handle[string]{TaskRef: ref, Decode: func(b []byte) (string, error) { return string(b), nil }}
	return h.Result(ctx)
}

func TestFinishedTaskGivesItsResult(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	mux.Handle(echo, orchestrator.HandlerFunc(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		return task.Payload, nil
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	got, err := result(t, enqueue(t, client, echo, `{"n": 1}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"n": 1}`, got)
}

func TestFailedAttemptIsRetried(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	mux.Handle(echo, orchestrator.HandlerFunc(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt < 3 {
			return nil, errors.New("not yet")
		}
		return []byte(`"third"`), nil
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{})
	got, err := result(t, enqueue(t, client, echo, `{}`))
	require.NoError(t, err)
	require.Equal(t, `"third"`, got)
}

// Tasks that are claimed together and wait for each other all run at once, and
// none is given back and claimed again for that.
func TestAllSlotsAreFilledByOneClaim(t *testing.T) {
	t.Parallel()
	const slots = 200
	client := orchestratortest.Client(t)
	refs, err := client.Enqueue(t.Context(), slices.Repeat([]orchestrator.Request{{Definition: echo, Payload: []byte(`{}`)}}, slots))
	require.NoError(t, err)
	var running atomic.Int32
	full := make(chan struct{})
	mux := orchestrator.NewMux()
	mux.Handle(echo, orchestrator.HandlerFunc(func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		if running.Add(1) == slots {
			close(full)
		}
		select {
		case <-full:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: slots, ClaimInterval: time.Hour})
	for _, ref := range refs {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
}
