package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A statement that ends tasks and tells nobody would be found by nobody: each
// use of what moves rows must have a tell before it. Batches of workers have
// one statement with and one without.
func TestEveryStatementThatEndsTasksCanTell(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	moves := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		n := strings.Count(string(source), "` + insertFinished + `") + strings.Count(string(source), "` + insertDead + `")
		tells := strings.Count(string(source), " + tellTo") + strings.Count(string(source), "finishAlikeInsert = `") // of whose tasks nobody is told
		moves += n
		if n > 0 {
			require.Equal(t, n, tells, name)
		}
	}
	require.Greater(t, moves, 6)
}
