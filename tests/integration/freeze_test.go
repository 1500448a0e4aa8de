package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// sleeperProgram's tasks last until their context ends. Then Echo returns as
// if it had succeeded, and Count tries to complete in a transaction of its own
// that also adds a row.
func sleeperProgram(ctx context.Context) error {
	client, config, err := open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	mux := harness.Mux(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		harness.Say("began %s", task.Type)
		<-ctx.Done()
		harness.Say("%s cause %v", task.Type, context.Cause(ctx))
		if task.Type == harness.Echo.Name {
			return []byte(`"stale"`), nil
		}
		ctx = context.WithoutCancel(ctx)
		tx, err := client.DB().BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, `INSERT INTO public.effects VALUES (?, 'stale')`, int64(task.ID)); err != nil {
			return nil, err
		}
		harness.Say("completed %v", task.Complete(ctx, tx, []byte(`"stale"`)))
		return nil, nil // without a commit
	}, harness.Echo, harness.Count)
	mux.Handle(harness.Keyed, orchestrator.HandlerFunc(harness.Returning))
	return orchestrator.NewWorker(client, mux, config).Run(ctx)
}

// A process that is stopped for longer than its lease lasts finds, when it
// goes on, that nothing it does counts any more; and then it works on under
// another name.
func TestFrozenWorkerCompletesNothing(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	db.Exec(t, `CREATE TABLE public.effects (id bigint, worker text)`)

	frozen := harness.Start(t, "sleeper", hasty(url, "WORKER_TIMEOUT=2s")...)
	ids := append(harness.Enqueue(t, client, harness.Echo, 1), harness.Enqueue(t, client, harness.Count, 1)...)
	frozen.Expect(t, "began")
	frozen.Expect(t, "began")
	old := harness.Value[int64](t, db, `SELECT id FROM workers`)
	frozen.Freeze(t)

	began, release := make(chan int64, len(ids)), make(chan struct{})
	stop := harness.StartWorker(t, client, harness.Mux(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		began <- int64(task.ID)
		select {
		case <-release:
			return []byte(`"fresh"`), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, harness.Echo, harness.Count), harness.Brisk())
	// Tasks of a process that died run one at a time at first, until it is
	// plain that they did not kill it.
	harness.Receive(t, "the first task on the other worker", began)
	harness.Receive(t, "the second task on the other worker", began)
	frozen.Thaw(t)

	causes := map[string]bool{}
	for len(causes) < 2 {
		causes[frozen.Expect(t, "test:")] = true
	}
	lost := orchestrator.ErrLeaseLost.Error()
	require.Equal(t, map[string]bool{"echo cause " + lost: true, "count cause " + lost: true}, causes)
	require.Equal(t, fmt.Sprintf("complete task %d: %s", ids[1], lost), frozen.Expect(t, "completed"))
	require.Equal(t, 2, harness.Value[int](t, db, `SELECT count(*) FROM tasks WHERE state = 1 AND worker_id <> $1`, old),
		"the stale completions have changed something")

	close(release)
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
	require.Equal(t, 2, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE worker_id <> $1 AND result #>> '{}' = 'fresh'`, old))
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM public.effects`))

	// The woken process has registered anew and works.
	ref, err := client.Enqueue(t.Context(), harness.Requests(harness.Keyed, 0, 1))
	require.NoError(t, err)
	_, err = client.WaitResult(t.Context(), ref[0])
	require.NoError(t, err)
	require.NotEqual(t, old, harness.Value[int64](t, db, `SELECT worker_id FROM tasks_finished WHERE id = $1`, int64(ref[0].ID())))
	frozen.Terminate(t)
}
