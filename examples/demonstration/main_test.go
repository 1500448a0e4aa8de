package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/examples/demonstration/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

// documented is what the comment of main.go says is printed.
func documented(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(source), "run):\n//\n")
	require.True(t, found)
	text, _, found := strings.Cut(rest, "//\n// And then")
	require.True(t, found)
	return strings.ReplaceAll(text, "//\t", "")
}

func TestProgramPrintsWhatItsCommentSays(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	var out, log harness.Buffer
	require.NoError(t, run(t.Context(), url, &out, orchestrator.ClientConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	require.Equal(t, documented(t), out.String())
	require.Contains(t, log.String(), `msg="all said" task=1 type=demo:show queue=default attempt=1 worker=`)
	require.NotContains(t, log.String()+out.String(), "hunter2")

	// And the command line tells the rest.
	cli := harness.CLI(t, url)
	shown := cli("tasks", "show", "2")
	for _, want := range []string{"state         succeeded\n", "attempts      3 of 5\n", "\"attempts\": 3", "attempt 1, ", ": printer_busy: jobs ahead: 2\n", "attempt 2, ", ": printer_busy: jobs ahead: 1\n"} {
		require.Contains(t, shown, want)
	}
	require.NotContains(t, cli("tasks", "show", "1"), "hunter2")
	dead := cli("dead", "list")
	require.Regexp(t, `(?m)^4 .*1 of 3 .*beyond_repair: the printer is on fire$`, dead)
	require.Regexp(t, `(?m)^3 .*3 of 3 .*no paper in tray 3$`, dead)
	require.Equal(t, "redriven: 1 task\n", cli("dead", "redrive", "3"))
	require.Regexp(t, `(?m)^3 .* ready .* 0 of 3 `, cli("tasks", "list"))
}

// A unit test of a handler needs no database.
func TestHandlers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	flaky := orchestratortest.Run(t, &tasks.DemoFlaky, handlers{&out}.HandleDemoFlaky, tasks.DemoFlakyPayload{Failures: 1})
	require.Equal(t, orchestrator.Retrying, flaky.State)
	require.Equal(t, printerBusy, flaky.Code)
	broken := orchestratortest.Run(t, &tasks.DemoBroken, handlers{&out}.HandleDemoBroken, tasks.DemoBrokenPayload{Hopeless: true})
	require.Equal(t, orchestrator.Dead, broken.State)
	require.Equal(t, tasks.DemoBrokenBeyondRepair, broken.Code)
	show := orchestratortest.Run(t, &tasks.DemoShow, handlers{&out}.HandleDemoShow, tasks.DemoShowPayload{Title: "once"})
	require.NoError(t, show.Err)
	require.Equal(t, []string{"once"}, show.Result.Said)
}
