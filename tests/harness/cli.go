package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// CLI builds the command orchestrator, and returns a function that runs it on a
// database and returns what it prints.
func CLI(t testing.TB, url string) func(args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "orchestrator")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/task-orchestrator/task-orchestrator/cmd/orchestrator").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
}
