package devpg_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestEphemeralServerLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := place(t)
	s := start(t, devpg.Config{Settings: map[string]string{"work_mem": "5MB"}}.InScratch(dir))

	require.Equal(t, "off", query1[string](t, s.URL(), "SHOW fsync"))
	require.Equal(t, "on", query1[string](t, s.URL(), "SHOW synchronous_commit"))
	require.Equal(t, "UTF8", query1[string](t, s.URL(), "SHOW server_encoding"))
	require.Equal(t, "5MB", query1[string](t, s.URL(), "SHOW work_mem"))
	require.Equal(t, "127.0.0.1", query1[string](t, s.URL(), "SHOW listen_addresses"))
	require.Equal(t, s.DataDir(), query1[string](t, s.URL(), "SHOW data_directory"))
	require.NotEmpty(t, s.Binaries().Version)
	require.FileExists(t, s.LogFile())
	require.False(t, s.Attached())

	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop())
	require.Empty(t, entries(t, dir, "run-*"))
	require.False(t, devpg.ServerRuns(s.DataDir()))
	require.Error(t, s.Resume(t.Context()))
	require.NoError(t, s.Halt(devpg.Fast))
	require.NoError(t, (*devpg.Server)(nil).Stop())
}

func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(start(t, devpg.Config{}.InScratch(place(t))).URL())
	require.NoError(t, err)
	for _, user := range []*url.Userinfo{url.User("postgres"), url.UserPassword("postgres", "guess")} {
		u.User = user
		s, err := devpg.Connect(t.Context(), u.String())
		require.ErrorContains(t, err, "28P01")
		require.Nil(t, s)
	}
}

func TestRestartKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := start(t, devpg.Config{}.InScratch(place(t)))
	before := s.URL()
	tmpl, err := s.Template(t.Context(), "restart", createT)
	require.NoError(t, err)
	db, drop, err := tmpl.Clone(t.Context())
	require.NoError(t, err)
	defer drop()

	for i, how := range []devpg.Shutdown{devpg.Fast, devpg.Immediate} {
		exec1(t, db, "UPDATE t SET n = $1", i)
		require.NoError(t, s.Halt(how))
		require.NoError(t, s.Halt(how))
		require.False(t, devpg.ServerRuns(s.DataDir()))
		require.NoError(t, s.Resume(t.Context()))
		require.NoError(t, s.Resume(t.Context()))
		require.Equal(t, before, s.URL())
		require.Equal(t, i, query1[int](t, db, "SELECT n FROM t"))
		_, again, err := tmpl.Clone(t.Context())
		require.NoError(t, err)
		again()
	}
	require.NoError(t, s.Restart(t.Context(), devpg.Immediate))
	require.Equal(t, 1, query1[int](t, db, "SELECT n FROM t"))
}

func TestResumeAfterACrash(t *testing.T) {
	t.Parallel()
	s := start(t, devpg.Config{}.InScratch(place(t)))
	require.NoError(t, createT(t.Context(), s.URL()))
	require.NoError(t, devpg.EndServer(s.DataDir(), devpg.Immediate)) // behind its back
	require.NoError(t, s.Resume(t.Context()))
	require.Equal(t, 42, query1[int](t, s.URL(), "SELECT n FROM t"))
	_, err := s.Template(t.Context(), "after", createT)
	require.NoError(t, err)
}

func TestResumeReportsATakenPort(t *testing.T) {
	t.Parallel()
	s := start(t, devpg.Config{}.InScratch(place(t)))
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	require.NoError(t, s.Halt(devpg.Immediate))
	l, err := net.Listen("tcp4", u.Host)
	require.NoError(t, err)
	require.ErrorIs(t, s.Resume(t.Context()), devpg.ErrPortTaken)
	require.NoError(t, l.Close())
	require.NoError(t, s.Resume(t.Context()))
	require.Equal(t, 1, query1[int](t, s.URL(), "SELECT 1"))
}

func TestClustersOutOfUseArePruned(t *testing.T) {
	t.Parallel()
	cache, bin := place(t), binaries(t)
	old := filepath.Join(cache, "clusters", "14_1-aaaaaaaaaaaa")
	recent := filepath.Join(cache, "clusters", "14_2-bbbbbbbbbbbb")
	for _, dir := range []string{old, recent} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	last := time.Now().AddDate(0, -2, 0)
	require.NoError(t, os.Chtimes(old, last, last))
	start(t, devpg.Config{CacheDir: cache, BinDir: bin}.InScratch(place(t)))
	require.NoDirExists(t, old)
	require.DirExists(t, recent)
}

func TestStartsTogether(t *testing.T) {
	t.Parallel()
	dir, cache, bin := place(t), place(t), binaries(t)
	g, ctx := errgroup.WithContext(t.Context())
	for range 3 {
		g.Go(func() error {
			s, err := devpg.Start(ctx, devpg.Config{CacheDir: cache, BinDir: bin}.InScratch(dir))
			if err != nil {
				return err
			}
			return s.Stop()
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, entries(t, cache, "clusters", "*", "data"), 1, "one initdb serves all")
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := place(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := devpg.Start(ctx, devpg.Config{}.InScratch(dir))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, entries(t, dir, "run-*"))
}

func TestBadSettingIsReportedInTheServersWords(t *testing.T) {
	t.Parallel()
	dir := place(t)
	_, err := devpg.Start(t.Context(), devpg.Config{Settings: map[string]string{"work_mem": "plenty"}}.InScratch(dir))
	require.ErrorContains(t, err, `invalid value for parameter "work_mem": "plenty"`)
	require.Empty(t, entries(t, dir, "run-*"))
}

func TestServerDiesWithItsOwnerAndIsSwept(t *testing.T) {
	t.Parallel()
	dir := place(t)
	_, data, kill := startInChild(t, "ephemeral", dir)
	living := start(t, devpg.Config{}.InScratch(dir))
	require.True(t, devpg.ServerRuns(data), "the directory of a living process was swept")

	kill()
	require.Eventually(t, func() bool { return !devpg.ServerRuns(data) }, 30*time.Second, 10*time.Millisecond,
		"the server outlived its owner")
	require.DirExists(t, data)

	var log bytes.Buffer
	start(t, devpg.Config{Log: &log}.InScratch(dir))
	require.NoDirExists(t, data)
	require.Contains(t, log.String(), "swept "+filepath.Dir(data))
	require.Equal(t, 1, query1[int](t, living.URL(), "SELECT 1"))
}

func TestSweepEndsAStrayServer(t *testing.T) {
	t.Parallel()
	dir := place(t)
	stray := start(t, devpg.Config{}.InScratch(dir))
	stray.Abandon()
	require.True(t, devpg.ServerRuns(stray.DataDir()))
	start(t, devpg.Config{}.InScratch(dir))
	require.False(t, devpg.ServerRuns(stray.DataDir()))
	require.NoDirExists(t, stray.DataDir())
}

func TestAStrangerWithTheRecordedProcessIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := place(t)
	data := filepath.Join(dir, "run-1-dead", "data")
	require.NoError(t, os.MkdirAll(data, 0o700))
	pidfile := strconv.Itoa(os.Getpid()) + "\n" + data + "\n1700000000\n5432\n"
	require.NoError(t, os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(pidfile), 0o600))

	require.False(t, devpg.ServerRuns(data))
	require.NoError(t, devpg.EndServer(data, devpg.Immediate)) // would end this very process
	start(t, devpg.Config{}.InScratch(dir))
	require.NoDirExists(t, data)
}
