package devpg_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// Set in the environment of this test binary, it makes it a process that
// starts a server and waits to be killed: see startInChild.
const (
	childMode = "DEVPG_TEST_CHILD"
	childDir  = "DEVPG_TEST_CHILD_DIR"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode, os.Getenv(childDir)))
	}
	goleak.VerifyTestMain(devpg.Main(m))
}

// child starts a server, prints its URL and data directory and waits until
// its standard input ends, which no test lets happen before killing it.
func child(mode, dir string) int {
	cfg := devpg.Config{}.InScratch(dir)
	if mode == "persistent" {
		cfg = devpg.Config{Mode: devpg.Persistent, Dir: dir}
	}
	s, err := devpg.Start(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(s.URL())
	fmt.Println(s.DataDir())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// startInChild starts a server in another process, and returns its URL, its
// data directory and a function that kills the process with no chance to clean
// up and waits for its end.
func startInChild(t *testing.T, mode, dir string) (url, data string, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = stdin.Close()
		}
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the child printed nothing")
	url = lines.Text()
	require.True(t, lines.Scan(), "the child did not start a server: %s", url)
	return url, lines.Text(), kill
}

// place is a temporary directory that the user who runs servers may enter;
// t.TempDir is closed to others.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devpg-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

// start starts a server that is stopped at the end of the test.
func start(t *testing.T, cfg devpg.Config) *devpg.Server {
	t.Helper()
	s, err := devpg.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func shared(t *testing.T) *devpg.Server {
	t.Helper()
	s, err := devpg.Shared(t.Context())
	require.NoError(t, err)
	return s
}

// binaries are those the shared server runs, for tests with a cache of their
// own, which would otherwise fetch them into it when ORCHESTRATOR_PG_FETCH is set.
func binaries(t *testing.T) string {
	t.Helper()
	dir := shared(t).Binaries().Dir
	if dir == "" {
		t.Skipf("the tests were given a server: set %s=none to run this one", devpg.EnvTestURL)
	}
	return dir
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func exec1(t *testing.T, url, stmt string, args ...any) {
	t.Helper()
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), stmt, args...)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func query1[T any](t *testing.T, url, query string, args ...any) T {
	t.Helper()
	conn := connect(t, url)
	var v T
	require.NoError(t, conn.QueryRow(t.Context(), query, args...).Scan(&v))
	require.NoError(t, conn.Close(t.Context()))
	return v
}

func entries(t *testing.T, pattern ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	require.NoError(t, err)
	return found
}
