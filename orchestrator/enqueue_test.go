package orchestrator_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func tryEnqueue(ctx context.Context, e orchestrator.Enqueuer, d *orchestrator.Definition, payload string, opts ...orchestrator.EnqueueOption) error {
	r := orchestrator.Request{Definition: d, Payload: []byte(payload)}
	r.Apply(opts)
	_, err := e.Enqueue(ctx, []orchestrator.Request{r})
	return err
}

func count(t *testing.T, client *orchestrator.Client, query string) (n int) {
	t.Helper()
	require.NoError(t, client.DB().NewRaw(query).Scan(t.Context(), &n))
	return n
}

const live = "SELECT count(*) FROM orchestrator.tasks"

func TestHostilePayloadsAreRefusedBeforeSQL(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for name, one := range map[string]struct{ payload, want string }{
		"NUL":            {"{\"a\": \"\x00\"}", "holds a NUL character"},
		"escaped NUL":    {`{"a": "\u0000"}`, "holds a NUL character"},
		"escaped slash":  {`{"a": "\\\u0000"}`, "holds a NUL character"},
		"half a rune":    {"{\"a\": \"\xc3\"}", "not valid UTF-8"},
		"over the limit": {`"` + strings.Repeat("a", orchestrator.MaxPayloadSize-1) + `"`, "payload too large"},
	} {
		err := tryEnqueue(t.Context(), client, echo, one.payload)
		require.ErrorContains(t, err, "orchestrator: enqueue test:echo: ", name)
		require.ErrorContains(t, err, one.want, name)
	}
	require.Zero(t, count(t, client, live))
}

func TestPayloadsAtTheEdgeAreTaken(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for _, payload := range []string{
		`{"a": "\\u0000"}`, // a backslash and u0000, not a NUL
		`{"n": 9223372036854775807}`,
		`"` + strings.Repeat("a", orchestrator.MaxPayloadSize-2) + `"`,
	} {
		id := enqueue(t, client, echo, payload).ID()
		var stored string
		require.NoError(t, client.DB().NewRaw("SELECT payload::text FROM orchestrator.tasks WHERE id = ?", int64(id)).Scan(t.Context(), &stored))
		require.Equal(t, payload, stored)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for want, opt := range map[string]orchestrator.EnqueueOption{
		"priority 101: want -100 to 100":         orchestrator.WithPriority(101),
		"max attempts -1: want 1 to 32767":       orchestrator.WithMaxAttempts(-1),
		"idempotency key of 1025 bytes":          orchestrator.WithIdempotencyKey(strings.Repeat("k", 1025)),
		"idempotency key: holds a NUL character": orchestrator.WithIdempotencyKey("\x00"),
	} {
		require.ErrorContains(t, tryEnqueue(t.Context(), client, echo, `{}`, opt), want)
	}
}

func TestTaskLivesAndDiesWithTheTransaction(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig(t, client))
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	type tx struct {
		enqueuer         orchestrator.Enqueuer
		commit, rollback func() error
	}
	for name, begin := range map[string]func() tx{
		"bun": func() tx {
			tr, err := client.DB().BeginTx(t.Context(), nil)
			require.NoError(t, err)
			return tx{client.InTx(tr), tr.Commit, tr.Rollback}
		},
		"database/sql": func() tx {
			tr, err := client.DB().DB.BeginTx(t.Context(), &sql.TxOptions{})
			require.NoError(t, err)
			return tx{client.InTx(tr), tr.Commit, tr.Rollback}
		},
		"pgx": func() tx {
			tr, err := pool.Begin(t.Context())
			require.NoError(t, err)
			return tx{client.InPgxTx(tr), func() error { return tr.Commit(t.Context()) }, func() error { return tr.Rollback(t.Context()) }}
		},
	} {
		before := count(t, client, live)
		rolledBack := begin()
		enqueue(t, rolledBack.enqueuer, echo, `{"what": "?"}`)
		enqueue(t, rolledBack.enqueuer, echo, `{}`, orchestrator.WithIdempotencyKey("key "+name))
		require.NoError(t, rolledBack.rollback())
		require.Equal(t, before, count(t, client, live), name)

		committed := begin()
		plain := enqueue(t, committed.enqueuer, echo, `{"what": "? and $1"}`)
		keyed := enqueue(t, committed.enqueuer, echo, `{}`, orchestrator.WithIdempotencyKey("key "+name))
		again := enqueue(t, committed.enqueuer, echo, `{}`, orchestrator.WithIdempotencyKey("key "+name))
		require.False(t, keyed.Existing(), name)
		require.True(t, again.Existing(), name)
		require.Equal(t, keyed.ID(), again.ID(), name)
		require.Equal(t, before, count(t, client, live), name) // not visible yet
		require.NoError(t, committed.commit())
		require.Equal(t, before+2, count(t, client, live), name)
		require.Less(t, plain.ID(), keyed.ID(), name)
	}
}

// In a transaction of the client's own handle statements are prepared; elsewhere
// the driver need not know how.
func TestOwnTransactionsPrepare(t *testing.T) {
	t.Parallel()
	for name, pooler := range map[string]bool{"sessions": false, "transaction pooler": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := orchestratortest.Client(t, orchestrator.ClientConfig{TransactionPooler: pooler})
			enqueue(t, client, echo, `{}`) // stores the contract
			config := poolConfig(t, client).ConnConfig
			config.DefaultQueryExecMode = pgx.QueryExecModeExec
			foreign := bun.NewDB(stdlib.OpenDB(*config), pgdialect.New())
			defer func() { require.NoError(t, foreign.Close()) }()
			for _, db := range []*bun.DB{client.DB(), foreign} {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				enqueue(t, client.InTx(tx), echo, `{}`)
				enqueue(t, client.InTx(&tx), echo, `{}`)
				var prepared int
				require.NoError(t, tx.NewRaw("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO orchestrator.tasks%pg_notify%'").Scan(t.Context(), &prepared))
				require.Equal(t, db == client.DB() && !pooler, prepared == 1)
				require.NoError(t, tx.Commit())
			}
		})
	}
}

func poolConfig(t *testing.T, client *orchestrator.Client) *pgxpool.Config {
	t.Helper()
	var url string
	// The client's own URL, through its bun handle.
	conn, err := client.DB().Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Raw(func(driver any) error {
		url = driver.(interface{ Conn() *pgx.Conn }).Conn().Config().ConnString()
		return nil
	}))
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	return cfg
}

func TestRejectUndoesTheWholeBatch(t *testing.T) {
	t.Parallel()
	d := variant("test:reject", func(d *orchestrator.Definition) {
		d.Idempotency = &orchestrator.Idempotency{Window: time.Hour, OnDuplicate: orchestrator.Reject}
	})
	client := orchestratortest.Client(t)
	first := enqueue(t, client, d, `{}`, orchestrator.WithIdempotencyKey("b"))
	batch := make([]orchestrator.Request, 3)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: d, Payload: []byte(`{}`), IdempotencyKey: string(rune('a' + i))}
	}
	_, err := client.Enqueue(t.Context(), batch)
	var duplicate *orchestrator.DuplicateError
	require.ErrorAs(t, err, &duplicate)
	require.ErrorIs(t, err, orchestrator.ErrDuplicate)
	require.Equal(t, first.ID(), duplicate.ID)
	require.Equal(t, 1, count(t, client, live))
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.idempotency_keys"))
}

func TestKeyIsFreeAgainAfterItsWindow(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	first := enqueue(t, client, echo, `{}`, orchestrator.WithIdempotencyKey("k"))
	require.True(t, enqueue(t, client, echo, `{}`, orchestrator.WithIdempotencyKey("k")).Existing())
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.idempotency_keys SET expires_at = now()")
	require.NoError(t, err)
	second := enqueue(t, client, echo, `{}`, orchestrator.WithIdempotencyKey("k"))
	require.False(t, second.Existing())
	require.NotEqual(t, first.ID(), second.ID())
}

func TestHandlesComeInTheOrderOfTheBatch(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	batch := make([]orchestrator.Request, 1000)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: []byte(`{"n": ` + string(rune('0'+i%10)) + `}`)}
		if i%3 == 0 {
			batch[i].IdempotencyKey = string(rune('a' + i%7))
		}
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	for i, ref := range refs {
		var payload string
		require.NoError(t, client.DB().NewRaw("SELECT payload::text FROM orchestrator.tasks WHERE id = ?", int64(ref.ID())).Scan(t.Context(), &payload))
		if !ref.Existing() {
			require.Equal(t, string(batch[i].Payload), payload)
		}
	}
	require.Equal(t, 666+7, count(t, client, live))
}

// Every caller of the group commit gets the id of its own task.
func TestConcurrentEnqueuesShareNothingButTheCommit(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	var mu sync.Mutex
	ids := map[orchestrator.TaskID]string{}
	var group sync.WaitGroup
	var failures []error
	for g := range 64 {
		group.Go(func() {
			for n := range 20 {
				payload := fmt.Sprintf(`{"g": %d, "n": %d}`, g, n)
				refs, err := client.Enqueue(t.Context(), []orchestrator.Request{{Definition: echo, Payload: []byte(payload)}})
				mu.Lock()
				if err != nil {
					failures = append(failures, err)
				} else {
					ids[refs[0].ID()] = payload
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(failures...))
	require.Len(t, ids, 64*20)
	rows, err := client.DB().QueryContext(t.Context(), "SELECT id, payload::text FROM orchestrator.tasks")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id int64
		var payload string
		require.NoError(t, rows.Scan(&id, &payload))
		require.Equal(t, payload, ids[orchestrator.TaskID(id)])
	}
	require.NoError(t, rows.Err())
}

func TestEnqueueSaysWhenTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	task := orchestrator.Request{Definition: echo, Payload: []byte(`{}`)}
	withKey := task
	withKey.IdempotencyKey = "k"
	for name, batches := range map[string][][]orchestrator.Request{
		"alone":              {{task}},
		"with one under way": {{task}, {task}},
		"batch":              {{task, task}},
		"idempotency key":    {{withKey}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomeIsUnknown(t, batches)
		})
	}
}

// outcomeIsUnknown enqueues batches that the database does not answer.
func outcomeIsUnknown(t *testing.T, batches [][]orchestrator.Request) {
	t.Helper()
	client := orchestratortest.Client(t)
	require.NoError(t, tryEnqueue(t.Context(), client, echo, `{}`)) // the contract is stored
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "LOCK orchestrator.tasks")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	for i, batch := range batches {
		go func() {
			_, err := client.Enqueue(ctx, batch)
			failed <- err
		}()
		require.Eventually(t, func() bool {
			return count(t, client, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == i+1
		}, 10*time.Second, time.Millisecond)
	}
	cancel()
	for range batches {
		err := <-failed
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "outcome unknown")
	}
	require.NoError(t, tx.Rollback())
}

func TestEnqueueWithAnEndedContextStoresNothing(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	require.NoError(t, tryEnqueue(t.Context(), client, echo, `{}`)) // the contract is stored
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no more"))
	err := tryEnqueue(ctx, client, echo, `{}`)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "no more")
	require.NotContains(t, err.Error(), "outcome unknown")
	require.Equal(t, 1, count(t, client, live))
}

// A worker walks its lanes by run_at; what is said to have been due long ago
// must not be put behind it, to be found when it happens to look back so far.
func TestRunAtInThePastRunsAtOnce(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	mux := orchestrator.NewMux()
	mux.Handle(echo, orchestrator.HandlerFunc(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		return task.ScheduledFor.UTC().AppendFormat(nil, `"`+time.RFC3339+`"`), nil
	}))
	startWorker(t, client, mux, orchestrator.WorkerConfig{ClaimInterval: 50 * time.Millisecond})
	_, err := result(t, enqueue(t, client, echo, `{}`)) // from here on the worker looks forward
	require.NoError(t, err)
	long := time.Date(2020, time.February, 29, 12, 0, 0, 0, time.UTC)
	for _, opts := range [][]orchestrator.EnqueueOption{
		{orchestrator.WithRunAt(long)}, {orchestrator.WithRunAt(long), orchestrator.WithIdempotencyKey("k")},
	} {
		got, err := result(t, enqueue(t, client, echo, `{}`, opts...))
		require.NoError(t, err)
		require.JSONEq(t, `"2020-02-29T12:00:00Z"`, got)
	}
}
