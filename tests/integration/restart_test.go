package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// The database stays away for longer than leases last, while tasks end, fail
// and wait for their retry. Their outcomes are nobody's then; the tasks run
// again.
func TestDatabaseAwayForLongerThanALease(t *testing.T) {
	t.Parallel()
	server, url := harness.Server(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	const tasks = 10
	began, release := make(chan struct{}, 100*tasks), make(chan struct{})
	config := harness.Brisk()
	config.WorkerTimeout = time.Second
	stop := harness.StartWorker(t, client, harness.Mux(waitThenFailOnce(began, release), harness.Echo), config)
	ids := harness.Enqueue(t, client, harness.Echo, tasks)
	for range tasks {
		harness.Receive(t, "a task to begin", began)
	}
	old := harness.Value[int64](t, db, `SELECT id FROM workers`)
	require.NoError(t, server.Halt(devpg.Immediate))
	close(release)                   // all of them fail now, and their outcomes cannot be written
	time.Sleep(config.WorkerTimeout) // the lease is a matter of time, and nothing shows from outside when it is over
	require.NoError(t, server.Resume(t.Context()))

	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM workers WHERE id <> $1)`, old)
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
}
