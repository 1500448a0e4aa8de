package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// A worker that stops under load lets its handlers know, gives back what they
// did not finish, and what it had claimed ahead, and spends no attempt on it.
func TestShutdownGivesTasksBack(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	config := harness.Brisk()
	config.ShutdownTimeout = 50 * time.Millisecond
	causes := make(chan error, 1000)
	began := make(chan struct{}, 1000)
	stop := harness.StartWorker(t, client, harness.Mux(func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	}, harness.Echo), config)
	ids := harness.Enqueue(t, client, harness.Echo, 200)
	for range orchestrator.DefaultQueueConcurrency {
		harness.Receive(t, "a task to begin", began)
	}
	stop()
	for range orchestrator.DefaultQueueConcurrency {
		require.ErrorIs(t, harness.Receive(t, "a cancelled handler", causes), orchestrator.ErrShutdown)
	}
	require.Equal(t, len(ids), harness.Value[int](t, db,
		`SELECT count(*) FROM tasks WHERE state = 0 AND attempts = 0 AND NOT suspect AND errors IS NULL AND worker_id IS NULL`))
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM workers`))

	second := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	db.AwaitDrained(t)
	second()
	db.RequireEachDoneOnce(t, ids)
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT max(attempts) FROM tasks_finished`))
}

// Processes of a deployment are told to stop with SIGTERM, one after another,
// while tasks come in.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	settings := hasty(url, "WORKER_TIMEOUT=1m", "SHUTDOWN_TIMEOUT=10ms", "HANDLER_TIME=30ms")
	old := harness.Start(t, "worker", settings...)
	load := harness.StartLoad(t, client, 2)
	for range 3 {
		db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM tasks t JOIN workers w ON w.id = t.worker_id WHERE w.pid = $1)`, old.PID())
		next := harness.Start(t, "worker", settings...)
		next.Expect(t, "ready")
		old.Terminate(t)
		require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM workers WHERE pid = $1`, old.PID()))
		old = next
	}
	acknowledged, failed := load.Stop()
	require.Zero(t, failed)
	db.AwaitDrained(t)
	old.Terminate(t)
	db.RequireEachDoneOnce(t, acknowledged)
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT max(attempts) FROM tasks_finished`), "a restart spends no attempt")
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE errors IS NOT NULL`))
}

// An outcome that cannot be written at once is written all the same while the
// worker stops, and its lease is kept until then.
func TestOutcomesAreWrittenThroughAShutdown(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client := harness.Open(t, proxied)
	config := harness.Brisk()
	config.ShutdownTimeout = 50 * time.Millisecond
	began, cancelled := make(chan struct{}, 100), make(chan struct{}, 100)
	stop := harness.StartWorker(t, client, harness.Mux(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		// The connections break just when the outcome is to be written.
		proxy.Cut()
		cancelled <- struct{}{}
		return task.Payload, nil
	}, harness.Echo), config)
	ids := harness.Enqueue(t, harness.Open(t, url), harness.Echo, 10)
	for range ids {
		harness.Receive(t, "a task to begin", began)
	}
	stop()
	require.Len(t, cancelled, len(ids))
	db.RequireEachDoneOnce(t, ids)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM workers`))
}

// Tasks of a process that died wait for each other on the next one. Those that
// have not had their turn when it stops are still not cleared.
func TestShutdownClearsNoSuspectThatDidNotRun(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	config := harness.Brisk()
	config.HeartbeatInterval, config.ShutdownTimeout = 5*time.Second, 10*time.Millisecond // nobody is cleared by running for long
	ids := harness.Enqueue(t, client, harness.Echo, 3)
	db.Exec(t, `UPDATE tasks SET suspect = true`)
	began := make(chan struct{}, 10)
	stop := harness.StartWorker(t, client, harness.Mux(func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, harness.Echo), config)
	harness.Receive(t, "the first suspect to begin", began)
	db.AwaitTrue(t, `SELECT count(*) = 3 FROM tasks WHERE state = 1`)
	stop()
	require.Empty(t, began, "suspects run one at a time")
	require.Equal(t, 3, harness.Value[int](t, db, `SELECT count(*) FROM tasks WHERE state = 0 AND attempts = 0 AND started_at IS NULL`))
	require.Equal(t, 2, harness.Value[int](t, db, `SELECT count(*) FROM tasks WHERE suspect`))

	stop = harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
}
