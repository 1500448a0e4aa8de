package orchestrator_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// leaveDead leaves more dead rows in the table of tasks than a vacuum needs, and
// sees to it that PostgreSQL has counted them.
func leaveDead(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	conn, err := client.DB().Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for _, statement := range []string{
		"ALTER TABLE orchestrator.tasks SET (autovacuum_enabled = off)",
		"INSERT INTO orchestrator.tasks (contract, priority, queue, payload) SELECT 1, 0, 'vacuumed', '{}' FROM generate_series(1, 60000)",
		"DELETE FROM orchestrator.tasks WHERE queue = 'vacuumed'",
		"SELECT pg_stat_force_next_flush()",
	} {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
}

func timesVacuumed(t *testing.T, client *orchestrator.Client) (n int) {
	t.Helper()
	require.NoError(t, client.DB().NewRaw("SELECT vacuum_count FROM pg_stat_user_tables WHERE relid = 'orchestrator.tasks'::regclass").Scan(t.Context(), &n))
	return n
}

func TestLeaderVacuums(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	leaveDead(t, client)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{
		HeartbeatInterval: 20 * time.Millisecond,
	})
	require.Eventually(t, func() bool { return timesVacuumed(t, client) > 0 }, time.Minute, 10*time.Millisecond)
}

// What a long transaction may still see stays, however often it is vacuumed.
func TestVacuumWaitsForSomethingToRemove(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	turn := orchestrator.NewWorker(client, orchestrator.NewMux(), orchestrator.WorkerConfig{}).Vacuum()
	turn(t.Context())
	require.Zero(t, timesVacuumed(t, client), "nothing is dead")

	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT now()")
	require.NoError(t, err)
	leaveDead(t, client)
	for range 3 {
		turn(t.Context())
	}
	require.Equal(t, 1, timesVacuumed(t, client))
	leaveDead(t, client)
	leaveDead(t, client)
	for range 3 {
		turn(t.Context())
	}
	require.Equal(t, 2, timesVacuumed(t, client), "most of it is new")
	require.NoError(t, tx.Rollback())
}

// A vacuum that waits for autovacuum makes PostgreSQL break that off.
func TestVacuumGoesAwayWhenSomebodyIsAtIt(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	leaveDead(t, client)
	turn := orchestrator.NewWorker(client, orchestrator.NewMux(), orchestrator.WorkerConfig{}).Vacuum()
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "LOCK TABLE orchestrator.tasks IN SHARE UPDATE EXCLUSIVE MODE") // autovacuum's
	require.NoError(t, err)
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	turn(bounded)
	require.NoError(t, bounded.Err(), "it has not waited")
	require.NoError(t, tx.Rollback())
	require.Zero(t, timesVacuumed(t, client))
	turn(t.Context())
	require.Equal(t, 1, timesVacuumed(t, client))
}
