package orchestrator_test

import (
	"context"
	"errors"
	"os"
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
