package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/examples/quickstart/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// TestMain is the program itself when runMain is set.
func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(orchestratortest.Main(m).Run())
}

const runMain = "QUICKSTART_RUN_MAIN"

func TestProgramPrintsWhatItsCommentSays(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), runMain+"=1", "DATABASE_URL="+orchestratortest.DB(t))
	program.Stdout, program.Stderr = &stdout, &stderr
	require.NoError(t, program.Run(), "%s", &stderr)
	require.Equal(t, "to ada@example.com: Welcome, Ada!\nsent as message-1\n", stdout.String())
	require.Contains(t, doc(t), "//\tto ada@example.com: Welcome, Ada!\n//\tsent as message-1\n")
}

func TestHandler(t *testing.T) {
	t.Parallel()
	out := orchestratortest.Run(t, &tasks.EmailWelcome, handlers{}.HandleEmailWelcome,
		tasks.EmailWelcomePayload{Name: "Grace", To: "grace@example.com"})
	require.NoError(t, out.Err)
	require.Equal(t, orchestrator.Succeeded, out.State)
	require.True(t, strings.HasPrefix(out.Result.MessageID, "message-"), out.Result.MessageID)
}

// The promise is 30 lines of one's own; blank lines, comments and imports do
// not count.
func TestProgramIsShort(t *testing.T) {
	t.Parallel()
	_, body, found := strings.Cut(doc(t), "\n)\n")
	require.True(t, found, "no imports")
	var own []string
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			own = append(own, line)
		}
	}
	require.LessOrEqual(t, len(own), 30, "%s", strings.Join(own, "\n"))
}

func doc(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	return string(source)
}
