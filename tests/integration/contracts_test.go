package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// version is one of two shapes of a task's payload that exclude each other.
func version(name, field string) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: "test:versioned", Queue: &orchestrator.Queue{Name: "default"}, Timeout: time.Minute, Fingerprint: "v1:" + name,
		PayloadSchema: `{"type": "object", "properties": {"` + field + `": {"type": "integer"}}, "required": ["` + field + `"], "additionalProperties": false}`,
	}
}

// A worker leaves alone what it was not compiled for: types it has no handler
// of, and versions whose payloads it could not read. They wait, visibly, for
// one that knows them.
func TestUnknownContractsWait(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	oldVersion, newVersion := version("old", "number"), version("new", "count")
	enqueue := func(d *orchestrator.Definition, payload string) orchestrator.TaskID {
		refs, err := client.Enqueue(t.Context(), []orchestrator.Request{{Definition: d, Payload: []byte(payload)}})
		require.NoError(t, err)
		return refs[0].ID()
	}
	waiting := []orchestrator.TaskID{enqueue(oldVersion, `{"number": 1}`), enqueue(harness.Count, `{}`)}
	known := []orchestrator.TaskID{enqueue(newVersion, `{"count": 1}`)}

	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, newVersion, harness.Echo), harness.Brisk())
	known = append(known, harness.Enqueue(t, client, harness.Echo, 100)...)
	waiting = append(waiting, enqueue(oldVersion, `{"number": 2}`))
	for _, id := range known {
		_, err := client.WaitResult(t.Context(), client.Lookup(&orchestrator.Definition{}, id))
		require.NoError(t, err)
	}
	stop()
	require.Equal(t, len(waiting), harness.Value[int](t, db,
		`SELECT count(*) FROM all_tasks WHERE state = 'ready' AND attempts = 0 AND claimed_at IS NULL`))

	stop = harness.StartWorker(t, client, harness.Mux(harness.Returning, oldVersion, harness.Count), harness.Brisk())
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, append(known, waiting...))
}

// Contract ids are drawn before their rows are visible. A worker that knows a
// higher one may meet tasks of a lower one that it has never heard of.
func TestContractThatAppearsBelowTheNewestKnown(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	late, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = late.Rollback(t.Context()) }()
	var contract int32
	require.NoError(t, late.QueryRow(t.Context(), `
		INSERT INTO task_contracts (task_type, fingerprint, queue, priority, payload_schema, policy)
		VALUES ('test:late', 'v1:late', 'default', 0, '{}', '{"Name": "test:late"}') RETURNING id`).Scan(&contract))

	config := harness.Brisk()
	config.LeaderTerm, config.HeartbeatInterval, config.WorkerTimeout = time.Hour, time.Hour, 3*time.Hour // it does not look again
	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), config)
	known := harness.Enqueue(t, client, harness.Echo, 1)
	_, err = client.WaitResult(t.Context(), client.Lookup(harness.Echo, known[0]))
	require.NoError(t, err)

	_, err = late.Exec(t.Context(), `INSERT INTO tasks (contract, priority, queue, payload) VALUES ($1, 0, 'default', '{}')`, contract)
	require.NoError(t, err)
	require.NoError(t, late.Commit(t.Context()))
	known = append(known, harness.Enqueue(t, client, harness.Echo, 100)...)
	for _, id := range known {
		_, err := client.WaitResult(t.Context(), client.Lookup(harness.Echo, id))
		require.NoError(t, err)
	}
	db.AwaitTrue(t, `SELECT count(*) = 1 FROM tasks WHERE state = 0 AND attempts = 0 AND contract = $1`, contract)
	stop()
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT count(*) FROM tasks WHERE state = 0 AND attempts = 0 AND contract = $1`, contract))
}
