package observability_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example is a module of its own, which go vet ./... at the root does not
// see.
func TestExampleIsCurrent(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		dir     string
		command []string
	}{
		{".", []string{"go", "run", "./cmd/orchestrator", "generate", "--check", "--spec", "examples/observed/tasks.yaml", "--out", "examples/observed/tasks"}},
		{filepath.Join("examples", "observed"), []string{"go", "vet", "./..."}},
	} {
		cmd := exec.CommandContext(t.Context(), one.command[0], one.command[1:]...)
		cmd.Dir = filepath.Join(root(t), one.dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", one.command, out)
	}
}
