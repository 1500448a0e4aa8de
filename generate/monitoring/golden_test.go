package monitoring_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/monitoring"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden generates the files under testdata, beside each spec.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			files := generated(t, dir)
			require.Len(t, files, 2)
			for name, content := range files {
				path := filepath.Join(dir, name)
				if *update {
					require.NoError(t, os.WriteFile(path, content, 0o644))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err, "run go test with -update to write it")
				require.Equal(t, string(want), string(content))
				require.True(t, monitoring.Generated(content))
			}
		})
	}
}

// TestDeterministic generates from a spec loaded anew each time, as every run
// of the command does.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	first := generated(t, "testdata/promises")
	for range 50 {
		require.True(t, maps.EqualFunc(first, generated(t, "testdata/promises"), func(a, b []byte) bool { return string(a) == string(b) }))
	}
}

// cases are the directories that hold a spec.
func cases(t *testing.T) []string {
	t.Helper()
	specs, err := filepath.Glob("testdata/*/tasks.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, specs)
	for i, file := range specs {
		specs[i] = filepath.Dir(file)
	}
	return specs
}

func generated(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	spec, mistakes := model.Load(os.DirFS(dir), "tasks.yaml")
	require.NoError(t, mistakes.Err())
	files, err := monitoring.Generate(spec)
	require.NoError(t, err)
	return files
}
