package main

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/examples/demonstration/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
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

// command runs the command line on a database.
func command(t *testing.T, program, url string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestProgramPrintsWhatItsCommentSays(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	var out, log lockedBuffer
	require.NoError(t, run(t.Context(), url, &out, orchestrator.ClientConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	require.Equal(t, documented(t), out.String())
	require.Contains(t, log.String(), `msg="all said" task=1 type=demo:show queue=default attempt=1 worker=`)
	require.NotContains(t, log.String()+out.String(), "hunter2")

	// And the command line tells the rest.
	program := filepath.Join(t.TempDir(), "orchestrator")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/orchestrator").CombinedOutput()
	require.NoError(t, err, "%s", built)
	shown := command(t, program, url, "tasks", "show", "2")
	for _, want := range []string{"state         succeeded\n", "attempts      3 of 5\n", "\"attempts\": 3", "attempt 1, ", ": printer_busy: jobs ahead: 2\n", "attempt 2, ", ": printer_busy: jobs ahead: 1\n"} {
		require.Contains(t, shown, want)
	}
	require.NotContains(t, command(t, program, url, "tasks", "show", "1"), "hunter2")
	dead := command(t, program, url, "dead", "list")
	require.Regexp(t, `(?m)^4 .*1 of 3 .*beyond_repair: the printer is on fire$`, dead)
	require.Regexp(t, `(?m)^3 .*3 of 3 .*no paper in tray 3$`, dead)
	require.Equal(t, "redriven: 1 task\n", command(t, program, url, "dead", "redrive", "3"))
	require.Regexp(t, `(?m)^3 .* ready .* 0 of 3 `, command(t, program, url, "tasks", "list"))
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

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
