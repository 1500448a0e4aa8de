package integration_test

import (
	"bytes"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// The same work, in every way in which the engine can be set up: single and
// bulk enqueues, first attempts that fail, keys, results, two workers.
func TestDrain(t *testing.T) {
	t.Parallel()
	pollOnly := harness.Brisk()
	pollOnly.PollOnly = true
	for name, variant := range map[string]struct {
		client orchestrator.ClientConfig
		worker orchestrator.WorkerConfig
	}{
		"plain":              {worker: harness.Brisk()},
		"poll only":          {worker: pollOnly},
		"transaction pooler": {client: orchestrator.ClientConfig{TransactionPooler: true}, worker: pollOnly},
		"another schema":     {client: orchestrator.ClientConfig{Schema: "jobs_of_ours"}, worker: harness.Brisk()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			if variant.client.Schema != "" {
				harness.Migrate(t, url, variant.client)
			} else {
				variant.client.Schema = "orchestrator"
			}
			drain(t, url, url, variant.client, variant.worker)
		})
	}
}

func drain(t *testing.T, observed, url string, clientConfig orchestrator.ClientConfig, workerConfig orchestrator.WorkerConfig) {
	t.Helper()
	db := harness.Observe(t, observed, clientConfig.Schema)
	client := harness.Open(t, url, clientConfig)
	mux := failing(harness.Echo)
	mux.Handle(harness.Keyed, orchestrator.HandlerFunc(harness.Returning))
	first := harness.StartWorker(t, client, mux, workerConfig)
	second := harness.StartWorker(t, harness.Open(t, url, clientConfig), mux, workerConfig)

	const bulk, singles = 2000, 200
	ids := harness.Enqueue(t, client, harness.Echo, bulk)
	var all sync.WaitGroup
	refs, errs := make([]orchestrator.TaskRef, singles), make([]error, singles)
	for i := range refs {
		all.Go(func() {
			one, err := client.Enqueue(t.Context(), harness.Requests(harness.Echo, i, 1))
			if err == nil {
				refs[i] = one[0]
				_, err = client.WaitResult(t.Context(), one[0])
			}
			errs[i] = err
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	ids = append(ids, harness.IDs(refs)...)

	fresh, err := client.Enqueue(t.Context(), keyed(harness.Keyed, "one"))
	require.NoError(t, err)
	again, err := client.Enqueue(t.Context(), keyed(harness.Keyed, "one"))
	require.NoError(t, err)
	require.True(t, again[0].Existing())
	_, err = client.WaitResult(t.Context(), again[0]) // a handle that does not know when its task was enqueued
	require.NoError(t, err)
	ids = append(ids, harness.IDs(fresh)...)

	db.AwaitDrained(t)
	first()
	second()
	db.RequireEachDoneOnce(t, ids)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM workers`))
}

// Behind a pooler in transaction mode a prepared statement is gone, or another,
// with the next transaction. So none is ever made.
func TestTransactionPoolerPreparesNothing(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	proxy, proxied := harness.NewProxy(t, url)
	var prepared []string
	proxy.LoseAnswers(func(request []byte) bool {
		if bytes.Contains(request, []byte("stmtcache_")) { // how pgx names them
			prepared = append(prepared, strconv.Quote(string(request)))
		}
		return false
	})
	config := harness.Brisk()
	config.PollOnly = true
	drain(t, url, proxied, orchestrator.ClientConfig{Schema: "orchestrator", TransactionPooler: true}, config)
	proxy.LoseAnswers(nil)
	require.Empty(t, prepared)
}

// A snapshot that stays open keeps PostgreSQL from removing what the queue
// leaves behind.
func TestDrainUnderAnOpenSnapshot(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	snapshot, err := db.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer func() { _ = snapshot.Rollback(t.Context()) }()
	var none int
	require.NoError(t, snapshot.QueryRow(t.Context(), `SELECT count(*) FROM tasks`).Scan(&none))

	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	var ids []orchestrator.TaskID
	for range 10 {
		ids = append(ids, harness.Enqueue(t, client, harness.Echo, 2000)...)
	}
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
	require.NoError(t, snapshot.QueryRow(t.Context(), `SELECT count(*) FROM tasks_finished`).Scan(&none))
	require.Zero(t, none, "the snapshot was open all the time")
}

// Tasks that are all due at the same instant, at which they were not claimable
// a moment before.
func TestManyDueAtTheSameInstant(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	at := harness.Value[time.Time](t, db, `SELECT now() + interval '1 second'`)
	var ids []orchestrator.TaskID
	for range 5 {
		ids = append(ids, harness.Enqueue(t, client, harness.Echo, 2000, orchestrator.WithRunAt(at))...)
	}
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE claimed_at < scheduled_for`), "claimed too early")
}
