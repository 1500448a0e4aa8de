package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

const leads = `SELECT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id WHERE w.pid = $1 AND l.expires_at > now())`

// recovers checks that whoever leads recovers the tasks of the dead.
func recovers(t *testing.T, db *harness.Observer) {
	t.Helper()
	db.Exec(t, `INSERT INTO workers (id, heartbeat_at, lease, slots, pid, host, version, queues)
		VALUES (1, now() - interval '1 hour', '1 second', 1, 1, '', '', '{}')`)
	db.AwaitTrue(t, `SELECT NOT EXISTS (SELECT FROM workers WHERE id = 1)`)
}

// A leader that is frozen is replaced when its term is over, and when it goes
// on it does not lead.
func TestFrozenLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	first := harness.Start(t, "worker", hasty(url, "WORKER_TIMEOUT=1m")...)
	db.AwaitTrue(t, leads, first.PID())
	recovers(t, db)
	epoch := harness.Value[int64](t, db, `SELECT epoch FROM leader`)
	second := harness.Start(t, "worker", hasty(url)...)
	db.AwaitTrue(t, `SELECT count(*) = 2 FROM workers`)

	first.Freeze(t)
	db.AwaitTrue(t, leads, second.PID())
	require.Greater(t, harness.Value[int64](t, db, `SELECT epoch FROM leader`), epoch)
	recovers(t, db)
	beat := harness.Value[time.Time](t, db, `SELECT heartbeat_at FROM workers WHERE pid = $1`, first.PID())
	first.Thaw(t)
	db.AwaitTrue(t, `SELECT heartbeat_at > $2 FROM workers WHERE pid = $1`, first.PID(), beat)
	require.True(t, harness.Value[bool](t, db, leads, second.PID()))

	// It hands over when it stops, and the other takes it up again.
	second.Terminate(t)
	db.AwaitTrue(t, leads, first.PID())
	recovers(t, db)
	first.Terminate(t)
	require.True(t, harness.Value[bool](t, db, `SELECT expires_at < now() FROM leader`), "a leader that stops gives it up")
}

// A leader that is frozen in the middle of its work holds locks. They must not
// keep others from leading for as long as it is frozen.
func TestLeaderFrozenInATransactionIsReplaced(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	// A lock holds up the second statement of one of its transactions, and goes
	// when the process is frozen: the answer finds nobody who would go on.
	inTheWay, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = inTheWay.Exec(t.Context(), `LOCK TABLE idempotency_keys IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	first := harness.Start(t, "worker", hasty(url, "WORKER_TIMEOUT=1m")...)
	const state = `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE '%DELETE FROM %idempotency_keys%' AND application_name <> 'observer'
			AND (state = $1 OR wait_event_type = $1))`
	db.AwaitTrue(t, state, "Lock")
	first.Freeze(t)
	require.NoError(t, inTheWay.Rollback(t.Context()))
	db.AwaitTrue(t, state, "idle in transaction")
	require.True(t, harness.Value[bool](t, db, `SELECT worker_id = (SELECT id FROM workers) FROM leader`))

	second := harness.Start(t, "worker", hasty(url)...)
	db.AwaitTrue(t, leads, second.PID())
	recovers(t, db)
	first.Thaw(t)
	first.Terminate(t)
	second.Terminate(t)
}

// A worker whose lease was lost leads again without waiting for the term of
// the session before to end.
func TestLeadershipFollowsTheWorkerIntoItsNextSession(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	config := harness.Brisk()
	config.LeaderTerm = time.Hour
	harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), config)
	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id)`)
	db.Exec(t, `DELETE FROM workers`)
	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id)`)
	recovers(t, db)
}

// A leader that stops is succeeded at once, and not at the other's next turn.
func TestLeadershipIsHandedOver(t *testing.T) {
	t.Parallel()
	for how, pollOnly := range map[string]bool{"notified": false, "polling": true} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			db := harness.Observe(t, url)
			// Nobody's turn comes in the time of this test.
			config := orchestrator.WorkerConfig{
				HeartbeatInterval: time.Hour, WorkerTimeout: 3 * time.Hour, LeaderTerm: 3 * time.Hour, PollOnly: pollOnly}
			mux := harness.Mux(harness.Returning, harness.Echo)
			stops := map[int64]func(){}
			for len(stops) < 4 {
				stop := harness.StartWorker(t, harness.Open(t, url), mux, config)
				db.AwaitTrue(t, `SELECT count(*) = $1 FROM workers`, len(stops)+1)
				for id := range stops {
					db.Exec(t, `UPDATE workers SET host = 'seen' WHERE id = $1`, id)
				}
				stops[harness.Value[int64](t, db, `SELECT id FROM workers WHERE host <> 'seen'`)] = stop
			}
			// The first to follow may still be at its first turn, the last are not.
			for epoch := int64(0); len(stops) > 1; {
				db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id WHERE l.expires_at > now() AND l.epoch > $1)`, epoch)
				leader := harness.Value[int64](t, db, `SELECT worker_id FROM leader`)
				epoch = harness.Value[int64](t, db, `SELECT epoch FROM leader`)
				stops[leader]()
				delete(stops, leader)
			}
			db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id WHERE l.expires_at > now())`)
		})
	}
}
