package harness

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Brisk is a worker that notices everything soon. Its lease is long enough for
// a busy machine not to lose it by accident; a test that wants it lost gives
// the victim a shorter one.
func Brisk() orchestrator.WorkerConfig {
	return orchestrator.WorkerConfig{
		ClaimInterval: 50 * time.Millisecond, HeartbeatInterval: 100 * time.Millisecond, WorkerTimeout: 20 * time.Second,
		LeaderTerm: time.Second, CleanupInterval: time.Second,
	}
}

// StartWorker runs a worker in this process until stop is called, which waits
// for its orderly end, or until the test ends.
func StartWorker(t testing.TB, client *orchestrator.Client, mux *orchestrator.Mux, config orchestrator.WorkerConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	worker := orchestrator.NewWorker(client, mux, config)
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := worker.Run(ctx); err != nil {
			t.Errorf("worker: %v", err) // now: the test may be waiting for its tasks
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		ended.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// Open returns a client of the database at url that is closed when the test
// ends, after the workers that were started later.
func Open(t testing.TB, url string, config ...orchestrator.ClientConfig) *orchestrator.Client {
	t.Helper()
	client, err := orchestrator.Open(t.Context(), url, config...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}
