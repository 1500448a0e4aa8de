package devpg_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestPersistentDataAndURLAreKept(t *testing.T) {
	t.Parallel()
	cfg := devpg.Config{Mode: devpg.Persistent, Dir: filepath.Join(place(t), "data"), Database: "app"}
	first := start(t, cfg)
	require.Equal(t, "on", query1[string](t, first.URL(), "SHOW fsync"))
	require.Equal(t, "app", query1[string](t, first.URL(), "SELECT current_database()"))
	require.NoError(t, createT(t.Context(), first.URL()))
	require.NoError(t, first.Restart(t.Context(), devpg.Immediate))
	require.Equal(t, 42, query1[int](t, first.URL(), "SELECT n FROM t"))
	require.NoError(t, first.Stop())
	require.False(t, devpg.ServerRuns(first.DataDir()))

	second := start(t, cfg)
	require.Equal(t, first.URL(), second.URL())
	require.False(t, second.Attached())
	require.Equal(t, 42, query1[int](t, second.URL(), "SELECT n FROM t"))
}

func TestHaltedPersistentServerStopsQuietlyAndIsSweptLater(t *testing.T) {
	t.Parallel()
	cfg := devpg.Config{Mode: devpg.Persistent, Dir: place(t)}
	s := start(t, cfg)
	tmpl, err := s.Template(t.Context(), "halted", createT)
	require.NoError(t, err)
	_, _, err = tmpl.Clone(t.Context())
	require.NoError(t, err)

	require.NoError(t, s.Restart(t.Context(), devpg.Fast))
	const ours = `SELECT count(*) FROM pg_database WHERE datname LIKE 'devpg\_%'`
	other, err := devpg.Connect(t.Context(), s.URL())
	require.NoError(t, err)
	require.NoError(t, other.Stop())
	require.Equal(t, 2, query1[int](t, s.URL(), ours), "a restart made others take the databases for abandoned")

	require.NoError(t, s.Halt(devpg.Fast))
	require.NoError(t, s.Stop())
	require.Zero(t, query1[int](t, start(t, cfg).URL(), ours))
}

func TestLastUserStopsAPersistentServer(t *testing.T) {
	t.Parallel()
	cfg := devpg.Config{Mode: devpg.Persistent, Dir: place(t), Database: "app"}
	servers := make([]*devpg.Server, 3)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range servers {
		g.Go(func() (err error) {
			servers[i], err = devpg.Start(ctx, cfg)
			return err
		})
	}
	err := g.Wait()
	for _, s := range servers {
		t.Cleanup(func() { require.NoError(t, s.Stop()) })
	}
	require.NoError(t, err)

	attached := 0
	for _, s := range servers {
		require.Equal(t, servers[0].URL(), s.URL())
		if s.Attached() {
			attached++
		}
	}
	require.Equal(t, 2, attached, "one starts it, the others attach")
	for i, s := range servers {
		require.Equal(t, 1, query1[int](t, s.URL(), "SELECT 1"))
		require.NoError(t, s.Stop())
		require.Equal(t, i < len(servers)-1, devpg.ServerRuns(s.DataDir()))
	}
}

func TestPersistentServerOfAKilledUserIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := place(t)
	url, data, kill := startInChild(t, "persistent", dir)
	exec1(t, url, "CREATE TABLE t AS SELECT 42 AS n")
	kill()
	s := start(t, devpg.Config{Mode: devpg.Persistent, Dir: dir})
	require.Equal(t, 42, query1[int](t, s.URL(), "SELECT n FROM t"))
	require.NoError(t, s.Stop())
	require.False(t, devpg.ServerRuns(data))
}

func TestDataOfAnotherVersionAreNotTouched(t *testing.T) {
	t.Parallel()
	dir := place(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600))
	_, err := devpg.Start(t.Context(), devpg.Config{Mode: devpg.Persistent, Dir: dir, BinDir: binaries(t)})
	require.ErrorContains(t, err, "were written by PostgreSQL 9")
	require.ErrorContains(t, err, devpg.EnvBin)
}

func TestProjectsHaveDataOfTheirOwn(t *testing.T) {
	t.Parallel()
	cache, bin := place(t), binaries(t)
	projects := []string{t.TempDir(), t.TempDir()}
	a := start(t, devpg.Config{Mode: devpg.Persistent, CacheDir: cache, BinDir: bin, Project: projects[0]})
	b := start(t, devpg.Config{Mode: devpg.Persistent, CacheDir: cache, BinDir: bin, Project: projects[1]})
	require.NotEqual(t, a.DataDir(), b.DataDir())
	require.NotEqual(t, a.URL(), b.URL())
	require.Empty(t, entries(t, projects[0], "*"))
}
