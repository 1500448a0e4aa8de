package orchestrator_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// tidy lets the leader tidy up at every turn.
var tidy = orchestrator.WorkerConfig{
	CleanupInterval: time.Millisecond, HeartbeatInterval: 20 * time.Millisecond, WorkerTimeout: 10 * time.Second, ClaimInterval: 20 * time.Millisecond,
	LeaderTerm: 5 * time.Second, // for the next worker, when one that stops cannot resign in time on a busy machine
}

func comesTrue(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 5*time.Millisecond, what)
}

func partitions(t *testing.T, client *orchestrator.Client, condition string) int {
	t.Helper()
	return count(t, client, `
		SELECT count(*) FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE c.relkind = 'r' AND c.relname LIKE 'tasks\_kept\_until\_%' AND `+condition)
}

// oldDay makes a partition whose day is over, with one row in it, and returns
// its name.
func oldDay(t *testing.T, client *orchestrator.Client, daysAgo int) (name string) {
	t.Helper()
	require.NoError(t, client.DB().NewRaw(`
		SELECT orchestrator.add_history_day((now() AT TIME ZONE 'UTC')::date - ?0::int),
		    'tasks_kept_until_' || to_char((now() AT TIME ZONE 'UTC')::date - ?0::int, 'YYYYMMDD')`, daysAgo).
		Scan(t.Context(), new(sql.RawBytes), &name))
	_, err := client.DB().NewRaw(`
		INSERT INTO orchestrator.tasks_finished (id, keep_until, finished_at, scheduled_for, enqueued_at, contract, state, priority, attempts, queue, payload)
		VALUES (-?0::int, now() - ?0::int * interval '1 day', now(), now(), now(), 1, 4, 0, 1, 'default', '{}')`, daysAgo).Exec(t.Context())
	require.NoError(t, err)
	return name
}

func TestTasksAreKeptAsLongAsTheirTypeSays(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	long := variant("test:long", func(d *orchestrator.Definition) { d.Retention = 30 * 24 * time.Hour })
	short := variant("test:short", func(d *orchestrator.Definition) { d.Retention = time.Hour })
	mux := orchestrator.NewMux()
	for _, d := range []*orchestrator.Definition{echo, long, short} {
		mux.Handle(d, orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
			var payload struct{ End string }
			if err := json.Unmarshal(task.Payload, &payload); err != nil {
				return nil, err
			}
			switch payload.End {
			case "cancelled":
				return nil, orchestrator.Cancel(nil)
			case "in a transaction":
				return nil, client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					return task.Complete(ctx, tx, nil)
				})
			}
			return nil, nil
		}))
	}
	for _, one := range []struct {
		d    *orchestrator.Definition
		kept time.Duration
	}{{echo, orchestrator.DefaultRetention}, {long, 30 * 24 * time.Hour}, {short, time.Hour}} {
		enqueue(t, client, one.d, `{}`)
		enqueue(t, client, one.d, `{"end": "cancelled"}`)
		enqueue(t, client, one.d, `{"end": "in a transaction"}`)
		enqueue(t, client, one.d, `{}`, orchestrator.WithTTL(time.Microsecond)) // the leader or a worker ends it
	}
	// Nobody works this one: only the leader can end it.
	for _, d := range []*orchestrator.Definition{echo, long, short} {
		enqueue(t, client, d, `{}`, orchestrator.WithQueue("nobodys"), orchestrator.WithTTL(time.Microsecond))
	}
	config := tidy
	config.Queues = []string{"default"}
	startWorker(t, client, mux, config)
	comesTrue(t, func() bool { return count(t, client, `SELECT count(*) FROM orchestrator.tasks_finished`) == 15 }, "all ended")
	for name, kept := range map[string]time.Duration{echo.Name: orchestrator.DefaultRetention, long.Name: 30 * 24 * time.Hour, short.Name: time.Hour} {
		var n, right int
		require.NoError(t, client.DB().NewRaw(`
			SELECT count(*), count(*) FILTER (WHERE keep_until = finished_at + ? * interval '1 second')
			FROM orchestrator.all_tasks WHERE place = 'finished' AND task_type = ?`, int(kept.Seconds()), name).Scan(t.Context(), &n, &right))
		require.Equal(t, 5, n, name)
		require.Equal(t, n, right, name)
	}
}

// A retention that no partition was made for must neither lose nor hold up
// what finishes, not even when the contract's row says another.
func TestNewRetentionMakesItsPartition(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	d := variant("test:kept", func(d *orchestrator.Definition) { d.Retention = 400 * 24 * time.Hour })
	started, proceed := make(chan struct{}, 2), make(chan struct{})
	startWorker(t, client, handle(d, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		started <- struct{}{}
		<-proceed
		if string(task.Payload) == `{"end": "in a transaction"}` {
			return nil, client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return task.Complete(ctx, tx, []byte(`1`)) })
		}
		return []byte(`1`), nil
	}), orchestrator.WorkerConfig{})
	plain, inTx := enqueue(t, client, d, `{}`), enqueue(t, client, d, `{"end": "in a transaction"}`)
	<-started
	<-started
	_, err := client.DB().ExecContext(t.Context(), `UPDATE orchestrator.task_contracts SET retention = '1 day'`)
	require.NoError(t, err)
	_, err = client.DB().ExecContext(t.Context(), `
		DO $$ DECLARE part text; BEGIN
			FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits i WHERE i.inhparent = 'orchestrator.tasks_finished'::regclass LOOP
				EXECUTE 'DROP TABLE ' || part;
			END LOOP;
		END $$`)
	require.NoError(t, err)
	close(proceed)
	for _, ref := range []orchestrator.TaskRef{plain, inTx} {
		got, err := result(t, ref)
		require.NoError(t, err)
		require.Equal(t, `1`, got)
	}
	require.Equal(t, 2, count(t, client, `SELECT count(*) FROM orchestrator.tasks_finished WHERE keep_until > now() + interval '399 days'`))
}

// A DETACH that waits behind somebody who reads history must not make finishes
// wait behind it, and goes through when the reader is gone.
func TestOldHistoryGoesAndLongReadersHoldUpNobody(t *testing.T) {
	t.Parallel()
	for name, pooler := range map[string]bool{"sessions": false, "transaction pooler": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := orchestratortest.Client(t, orchestrator.ClientConfig{TransactionPooler: pooler})
			// Contracts are needed by the rows of history; and nothing is worked yet.
			require.NoError(t, tryEnqueue(t.Context(), client, echo, `{}`))
			older, old := oldDay(t, client, 10), oldDay(t, client, 1)
			yesterday, kept := partitions(t, client, "c.relname = '"+old+"'"), partitions(t, client, "true")
			require.Equal(t, 1, yesterday)

			reader, err := client.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			require.NoError(t, err)
			defer func() { _ = reader.Rollback() }()
			var n int
			require.NoError(t, reader.NewRaw(`SELECT count(*) FROM orchestrator.tasks_finished`).Scan(t.Context(), &n))
			require.Equal(t, 2, n)

			var longest time.Duration
			startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), tidy)
			for range 100 {
				began := time.Now()
				_, err := result(t, enqueue(t, client, echo, `{}`))
				require.NoError(t, err)
				longest = max(longest, time.Since(began))
			}
			require.Less(t, longest, 20*time.Second) // the reader would hold them up for ever
			require.NoError(t, reader.NewRaw(`SELECT count(*) FROM orchestrator.tasks_finished`).Scan(t.Context(), &n))
			require.Equal(t, 2, n, "the reader sees what it saw")
			require.Equal(t, kept, partitions(t, client, "true"), "nothing is dropped under a reader")

			require.NoError(t, reader.Rollback())
			comesTrue(t, func() bool {
				return partitions(t, client, fmt.Sprintf("c.relname IN ('%s', '%s')", older, old)) == 0
			}, "old partitions are dropped")
			require.Equal(t, kept-2, partitions(t, client, "i.inhrelid IS NOT NULL AND NOT i.inhdetachpending"), "and no others")
			_, err = client.TaskInfo(t.Context(), -10)
			require.ErrorIs(t, err, orchestrator.ErrNotFound)
		})
	}
}

// What a leader leaves that is killed in the middle of it is finished by the next.
func TestHalfRemovedHistoryIsFinished(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	require.NoError(t, tryEnqueue(t.Context(), client, echo, `{}`))
	half, detached := oldDay(t, client, 3), oldDay(t, client, 2)
	_, err := client.DB().ExecContext(t.Context(), `ALTER TABLE orchestrator.tasks_finished DETACH PARTITION orchestrator.`+detached)
	require.NoError(t, err)

	reader, err := client.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer func() { _ = reader.Rollback() }()
	_, err = reader.ExecContext(t.Context(), `SELECT count(*) FROM orchestrator.tasks_finished`)
	require.NoError(t, err)
	conn, err := client.DB().Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = conn.ExecContext(t.Context(), `SET lock_timeout = '10ms'`)
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), `ALTER TABLE orchestrator.tasks_finished DETACH PARTITION orchestrator.`+half+` CONCURRENTLY`)
	require.ErrorContains(t, err, "lock timeout")
	require.Equal(t, 1, partitions(t, client, "i.inhdetachpending"))
	require.NoError(t, reader.Rollback())

	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), tidy)
	comesTrue(t, func() bool {
		return partitions(t, client, fmt.Sprintf("c.relname IN ('%s', '%s')", half, detached)) == 0
	}, "both are gone")
}

func TestOldDeadLettersAreForgotten(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	ids := bury(t, client, 4)
	for i, id := range ids[:3] {
		_, err := client.DB().NewRaw(`UPDATE orchestrator.tasks_dead SET finished_at = now() - ? * interval '1 day' WHERE id = ?`, 95-10*i, int64(id)).Exec(t.Context())
		require.NoError(t, err)
	}
	deads := func() int { return count(t, client, `SELECT count(*) FROM orchestrator.tasks_dead`) }

	forEver := tidy
	forEver.DeadRetention = -1
	stop := startWorker(t, client, handle(echo, fate), forEver)
	// A later duty of the same turns has run.
	old := oldDay(t, client, 2)
	comesTrue(t, func() bool { return partitions(t, client, "c.relname = '"+old+"'") == 0 }, "the leader has tidied up")
	stop()
	require.Equal(t, 4, deads())

	stop = startWorker(t, client, handle(echo, fate), tidy)
	comesTrue(t, func() bool { return deads() == 3 }, "one is older than 90 days")
	stop()
	_, err := client.TaskInfo(t.Context(), ids[0])
	require.ErrorIs(t, err, orchestrator.ErrNotFound)

	days := tidy
	days.DeadRetention = 24 * time.Hour
	startWorker(t, client, handle(echo, fate), days)
	comesTrue(t, func() bool { return deads() == 1 }, "all but the fresh one")
	_, err = client.TaskInfo(t.Context(), ids[3])
	require.NoError(t, err)
	_, err = result(t, client.Lookup(echo, ids[0]))
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
}
