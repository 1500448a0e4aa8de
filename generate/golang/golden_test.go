package golang_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/golang"
	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden generates the packages under testdata, which tests/generated
// builds and runs.
func TestGolden(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/tasks.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			spec := load(t, dir)
			files, err := golang.Generate(spec)
			require.NoError(t, err)
			out := filepath.Join(dir, spec.Package)
			if *update {
				writeGolden(t, out, files)
			}
			want, err := filepath.Glob(filepath.Join(out, "*.go"))
			require.NoError(t, err)
			names := make([]string, len(want))
			for i, path := range want {
				names[i] = filepath.Base(path)
			}
			require.Equal(t, names, slices.Sorted(maps.Keys(files)))
			for name, source := range files {
				content, err := os.ReadFile(filepath.Join(out, name))
				require.NoError(t, err)
				require.Equal(t, string(content), string(source), name)
			}
		})
	}
}

// TestDeterministic generates from specs loaded anew each time, as every run
// of the command does.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	first, err := golang.Generate(load(t, "testdata/everything"))
	require.NoError(t, err)
	for range 100 {
		again, err := golang.Generate(load(t, "testdata/everything"))
		require.NoError(t, err)
		require.True(t, maps.EqualFunc(first, again, bytes.Equal))
	}
}

func load(t *testing.T, dir string) *model.Spec {
	t.Helper()
	spec, mistakes := model.Load(os.DirFS(dir), "tasks.yaml")
	require.NoError(t, mistakes.Err())
	return spec
}

func writeGolden(t *testing.T, out string, files map[string][]byte) {
	t.Helper()
	require.NoError(t, os.RemoveAll(out))
	require.NoError(t, os.MkdirAll(out, 0o755))
	for name, source := range files {
		require.NoError(t, os.WriteFile(filepath.Join(out, name), source, 0o644))
	}
}
