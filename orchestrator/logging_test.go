package orchestrator_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// A task on the happy path is silent at info; at debug its attempt has a line.
func TestHappyPathIsSilent(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var logs logLines
		client := orchestratortest.Client(t)
		stop := startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }),
			orchestrator.WorkerConfig{Logger: logs.logger(level)})
		for range 20 {
			_, err := result(t, enqueue(t, client, echo, `{}`))
			require.NoError(t, err)
		}
		stop()
		ofTasks := 0
		for _, line := range logs.all(t) {
			if line["task"] != nil {
				ofTasks++
				require.Equal(t, "DEBUG", line["level"])
				require.Equal(t, "attempt ended", line["msg"])
				require.Equal(t, "succeeded", line["outcome"])
			}
		}
		require.Equal(t, map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 20}[level], ofTasks)
	}
}

// Every line about a task, the engine's and the handler's own, says which task
// and which trace.
func TestLinesOfAFailingTask(t *testing.T) {
	t.Parallel()
	var logs logLines
	client := orchestratortest.Client(t, orchestrator.ClientConfig{TracerProvider: sdktrace.NewTracerProvider()})
	stop := startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		task.Logger().Info("trying")
		if task.Attempt == 2 {
			return nil, orchestrator.Permanent(errors.New("no such account"))
		}
		return nil, orchestrator.Code("smtp_busy")
	}), orchestrator.WorkerConfig{Logger: logs.logger(slog.LevelInfo)})
	ref := enqueue(t, client, echo, `{}`)
	_, err := result(t, ref)
	require.Error(t, err)
	stop()
	var lines []map[string]any
	for _, line := range logs.all(t) {
		if line["task"] != nil {
			lines = append(lines, line)
		}
	}
	require.Len(t, lines, 4)
	for i, want := range []struct{ level, msg string }{
		{"INFO", "trying"}, {"WARN", "attempt failed; it will be retried"}, {"INFO", "trying"}, {"ERROR", "task is dead"},
	} {
		require.Equal(t, want.level, lines[i]["level"])
		require.Equal(t, want.msg, lines[i]["msg"])
		require.Equal(t, "test:echo", lines[i]["type"])
		require.Equal(t, "default", lines[i]["queue"])
		require.InDelta(t, float64(i/2+1), lines[i]["attempt"], 0)
		require.NotZero(t, lines[i]["worker"])
		require.Len(t, lines[i]["trace_id"], 32)
	}
	require.Equal(t, "smtp_busy", lines[1]["code"])
	require.Equal(t, lines[0]["trace_id"], lines[1]["trace_id"])
	require.NotEqual(t, lines[1]["trace_id"], lines[3]["trace_id"], "a retry has a trace of its own")
}
