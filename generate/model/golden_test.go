package model

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden runs every directory of testdata: a spec in tasks.yaml, and what
// it resolves to in model.txt or the exact diagnostics in stderr.
func TestGolden(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == "fuzz" {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join("testdata", entry.Name())
			s, list := Load(os.DirFS(folder), "tasks.yaml")
			if len(list) == 0 {
				require.NotNil(t, s)
				golden(t, folder, "model.txt", dump(s))
				require.NoFileExists(t, filepath.Join(folder, "stderr"), "the spec was to be refused")
				return
			}
			require.Nil(t, s)
			var stderr strings.Builder
			require.NoError(t, list.WriteText(&stderr))
			golden(t, folder, "stderr", stderr.String())
			require.NoFileExists(t, filepath.Join(folder, "model.txt"), "the spec was to be accepted")
		})
	}
}

func golden(t *testing.T, folder, name, got string) {
	t.Helper()
	file := filepath.Join(folder, name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run go test with -update to write it")
	require.Equal(t, string(want), got)
}
