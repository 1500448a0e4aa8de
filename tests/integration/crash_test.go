package integration_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// poison kills the process that runs it.
var poison = &orchestrator.Definition{
	Name: "test:poison", Queue: &orchestrator.Queue{Name: "default"}, Priority: 1, Timeout: time.Minute,
	Retry:       orchestrator.RetryPolicy{MaxAttempts: 2, BaseDelay: time.Millisecond},
	Fingerprint: "v1:poison", PayloadSchema: `{"type": "object"}`,
}

func crasherProgram(ctx context.Context) error {
	return work(ctx, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Type == poison.Name {
			os.Exit(42)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
			return task.Payload, nil
		}
	}, poison, harness.Echo)
}

// A task that kills its process every time uses up its own attempts and none
// of its neighbours'.
func TestTaskThatKillsItsProcessDiesAlone(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	innocent := harness.Enqueue(t, client, harness.Echo, 150)
	bad := harness.Enqueue(t, client, poison, 1)
	innocent = append(innocent, harness.Enqueue(t, client, harness.Echo, 150)...)

	// A supervisor that starts the process again, as they do. The first crash
	// is nobody's; after that the task runs marked, and each is its own.
	const crashes = 3
	for range crashes {
		crashed := harness.Start(t, "crasher", hasty(url)...)
		require.EqualError(t, crashed.Wait(), "exit status 42")
	}
	last := harness.Start(t, "crasher", hasty(url)...)
	db.AwaitDrained(t)
	last.Terminate(t)

	require.Equal(t, len(innocent), harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE state = 4`))
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT max(attempts) FROM tasks_finished`), "attempts of the innocent")
	require.Equal(t, int64(bad[0]), harness.Value[int64](t, db, `SELECT id FROM tasks_dead`))
	require.Equal(t, string(orchestrator.CodeCrashed), harness.Value[string](t, db, `SELECT code FROM tasks_dead`))
	require.Equal(t, 2, harness.Value[int](t, db, `SELECT attempts FROM tasks_dead`))

	_, err := client.WaitResult(t.Context(), client.Lookup(poison, bad[0]))
	require.ErrorIs(t, err, orchestrator.CodeCrashed)
}
