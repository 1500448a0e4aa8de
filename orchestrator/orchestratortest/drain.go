package orchestratortest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// DrainTimeout is how long [Drain] waits, in real time.
const DrainTimeout = time.Minute

// Drain runs a worker until no task is left that could run: retries whose
// delay is not over are waited for, tasks scheduled for later than
// [DrainTimeout] are not, and no webhook is told. Schedules that mux declares
// fire when they are due, as in any worker. It fails the test when the worker
// does, or when tasks are left after DrainTimeout.
func Drain(t testing.TB, client *orchestrator.Client, mux *orchestrator.Mux) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), DrainTimeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{ClaimInterval: 20 * time.Millisecond, WebhookOff: true}).Run(ctx)
	}()
	left, err := waitEmpty(ctx, client)
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, err)
	require.Zero(t, left, "tasks left after %s", DrainTimeout)
}

// waitEmpty polls until no task is due within DrainTimeout.
func waitEmpty(ctx context.Context, client *orchestrator.Client) (left int, err error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		left, err = due(context.WithoutCancel(ctx), client)
		if err != nil || left == 0 {
			return left, err
		}
		select {
		case <-ctx.Done():
			return left, nil
		case <-ticker.C:
		}
	}
}

func due(ctx context.Context, client *orchestrator.Client) (n int, err error) {
	err = client.DB().NewSelect().
		TableExpr("?.tasks", bun.Ident(client.Schema())).
		ColumnExpr("count(*)").
		Where("queue <> ?", orchestrator.WebhookQueue).
		Where("run_at <= now() + ? * interval '1 second'", DrainTimeout.Seconds()).
		Scan(ctx, &n)
	return n, err
}
