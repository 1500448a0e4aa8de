package integration_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// PostgreSQL crashes in mid-run, several times. What was acknowledged is there
// and is done once; workers and clients carry on by themselves.
func TestDatabaseCrashLosesNothing(t *testing.T) {
	t.Parallel()
	server, url := harness.Server(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	worker := harness.Open(t, url)
	stop := harness.StartWorker(t, worker, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())

	db.AwaitTrue(t, registered)

	load := harness.StartLoad(t, client, 8)
	for range 3 {
		load.AwaitMore(t, 200)
		require.NoError(t, server.Restart(t.Context(), devpg.Immediate))
	}
	load.AwaitMore(t, 200)
	acknowledged, failed := load.Stop()
	t.Logf("%d acknowledged, %d failed", len(acknowledged), failed)
	db.AwaitDrained(t)
	stop()
	db.RequireAtLeastDoneOnce(t, acknowledged)
}

// The database stays away for longer than leases last. What ended meanwhile,
// successes and failures, has nowhere to go and runs again.
func TestDatabaseAwayForLongerThanALease(t *testing.T) {
	t.Parallel()
	server, url := harness.Server(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	const tasks = 10
	var log harness.Logged
	config := harness.Brisk()
	config.WorkerTimeout, config.Logger = time.Second, slog.New(&log)
	began, release := make(chan struct{}, 100*tasks), make(chan struct{})
	stop := harness.StartWorker(t, client, harness.Mux(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		began <- struct{}{}
		<-release
		if task.ID%2 == 0 && task.Attempt == 1 {
			return nil, errors.New("not yet")
		}
		return task.Payload, nil
	}, harness.Echo), config)
	ids := harness.Enqueue(t, client, harness.Echo, tasks)
	for range tasks {
		harness.Receive(t, "a task to begin", began)
	}
	old := harness.Value[int64](t, db, `SELECT id FROM workers`)
	require.NoError(t, server.Halt(devpg.Immediate))
	close(release) // all of them end now, and their outcomes are tried to be written
	// By then the lease is lost, and for so long that the finisher, which tries
	// at least once a second, has noticed.
	harness.Await(t, "the lease to be lost for a while", func() bool {
		return log.Count("could not register anew; trying again") >= 30
	})
	require.NoError(t, server.Resume(t.Context()))

	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM workers WHERE id <> $1)`, old)
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
}
