package integration_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// Worker processes are killed again and again while tasks come in. Nothing
// that was acknowledged is lost, nothing is completed twice.
func TestKilledWorkersLoseNothing(t *testing.T) {
	t.Parallel()
	const kills, rounds, perRound = 4, 40, 100
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)

	steady := harness.Start(t, "worker", hasty(url)...)
	victim := harness.Start(t, "worker", hasty(url)...)
	var acknowledged []orchestrator.TaskID
	var enqueuing sync.WaitGroup
	enqueuing.Go(func() {
		for i := range rounds {
			refs, err := client.Enqueue(t.Context(), harness.Requests(harness.Echo, i*perRound, perRound))
			if err == nil {
				acknowledged = append(acknowledged, harness.IDs(refs)...)
			}
		}
	})
	for range kills {
		victim.Expect(t, "ready")
		// In mid-run: it has claimed, and there is more to claim.
		db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM tasks t JOIN workers w ON w.id = t.worker_id WHERE t.state = 1 AND w.pid = $1)
			OR (SELECT count(*) FROM tasks_finished) = $2`, victim.PID(), rounds*perRound)
		victim.Kill(t)
		victim = harness.Start(t, "worker", hasty(url)...)
	}
	enqueuing.Wait()
	require.Len(t, acknowledged, rounds*perRound)
	db.AwaitDrained(t)
	db.RequireEachDoneOnce(t, acknowledged)
	victim.Expect(t, "ready")
	// The last one killed may have held nothing, so nothing has waited for the
	// end of its lease yet.
	db.AwaitTrue(t, `SELECT count(*) = 2 FROM workers`)
	victim.Terminate(t)
	steady.Terminate(t)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM workers`), "a worker that stopped in order, or was recovered, leaves no row")
}
