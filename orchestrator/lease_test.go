package orchestrator_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// quick are settings that make leases short.
var quick = orchestrator.WorkerConfig{
	HeartbeatInterval: 20 * time.Millisecond, WorkerTimeout: time.Minute, LeaderTerm: time.Second, ClaimInterval: 20 * time.Millisecond,
}

// A worker whose row is gone has lost its lease: its handlers are told, what
// they complete changes nothing, another attempt runs, and the worker carries
// on under a new id.
func TestLostLease(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	type call struct {
		ctx  context.Context
		task *orchestrator.Raw
		end  chan []byte
	}
	calls := make(chan call)
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		c := call{ctx, task, make(chan []byte)}
		calls <- c
		return <-c.end, nil
	}), quick)
	ref := enqueue(t, client, echo, `{}`)
	stale := <-calls
	_, err := client.DB().ExecContext(t.Context(), "DELETE FROM orchestrator.workers")
	require.NoError(t, err)
	<-stale.ctx.Done()
	require.ErrorIs(t, context.Cause(stale.ctx), orchestrator.ErrLeaseLost)

	fresh := <-calls
	require.Equal(t, stale.task.ID, fresh.task.ID)
	require.Equal(t, 1, fresh.task.Attempt) // the first was no failure of the task

	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.ErrorIs(t, stale.task.Complete(t.Context(), tx, []byte(`"stale"`)), orchestrator.ErrLeaseLost)
	require.NoError(t, tx.Rollback())
	stale.end <- []byte(`"stale"`)

	fresh.end <- []byte(`"fresh"`)
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `"fresh"`, got)
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.tasks_finished"))
}

func TestCompleteInTheHandlersTransaction(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.DB().ExecContext(t.Context(), "CREATE TABLE effects (attempt int)")
	require.NoError(t, err)
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		tx, err := client.DB().BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", task.Attempt); err != nil {
			return nil, err
		}
		if err := task.Complete(ctx, tx, []byte(`"in the transaction"`)); err != nil {
			return nil, err
		}
		if task.Attempt == 1 {
			return nil, nil // forgets to commit
		}
		return []byte(`"ignored"`), tx.Commit()
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`)
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `"in the transaction"`, got)
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM effects WHERE attempt = 2"))
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM effects"))
	after := rowOf(t, client, ref.ID())
	require.Equal(t, 2, after.Attempts)
	require.Contains(t, after.Errors[0].Message, "was not committed")
}

func TestTaskOfAVanishedWorkerIsRecovered(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ref := enqueue(t, client, echo, `{}`)
	// As a worker that died right after its claim left it.
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET state = 1, worker_id = 4711, claim = 1, claimed_at = now()")
	require.NoError(t, err)
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return []byte(`1`), nil }), quick)
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `1`, got)
}

// A handler may hold the only connection of the pool for as long as it likes:
// heartbeats have one of their own.
func TestHeartbeatsNeedNoConnectionOfThePool(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	observer, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, observer.Close()) })
	client, err := orchestrator.Open(t.Context(), url+"&pool_max_conns=1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	holding, release := make(chan struct{}), make(chan struct{})
	startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		conn, err := client.DB().Conn(ctx)
		if err != nil {
			return nil, err
		}
		close(holding)
		<-release
		return nil, conn.Close()
	}), quick)
	ref := enqueue(t, observer, echo, `{}`)
	<-holding
	for range 3 {
		var last time.Time
		heartbeat := observer.DB().NewRaw("SELECT heartbeat_at FROM orchestrator.workers")
		require.NoError(t, heartbeat.Scan(t.Context(), &last))
		require.Eventually(t, func() bool {
			var now time.Time
			return heartbeat.Scan(t.Context(), &now) == nil && now.After(last)
		}, 30*time.Second, 2*time.Millisecond)
	}
	close(release)
	_, err = result(t, ref)
	require.NoError(t, err)
}

func TestNoTransactionIsOpenWhileAHandlerRuns(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	running, release := make(chan struct{}), make(chan struct{})
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		close(running)
		<-release
		return nil, nil
	}), quick)
	ref := enqueue(t, client, echo, `{}`)
	<-running
	// The engine's own short transactions come and go; one that belonged to
	// the running task would stay.
	eventually(t, client, `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'`, 0)
	close(release)
	_, err := result(t, ref)
	require.NoError(t, err)
}
