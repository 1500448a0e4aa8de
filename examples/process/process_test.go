//go:build unix

package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script starts a shell that runs text, in which $1 is a file for the process
// id of a child.
func script(ctx context.Context, t *testing.T, grace time.Duration, text string) (cmd *exec.Cmd, child func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "child")
	cmd = Command(ctx, grace, "sh", "-c", text, "sh", file)
	require.NoError(t, cmd.Start())
	return cmd, func() (pid int) {
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(file)
			if err != nil || !strings.HasSuffix(string(text), "\n") {
				return false
			}
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil
		}, time.Minute, time.Millisecond)
		return pid
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"willing":         `sleep 1000 & echo $! >"$1"; wait`,
		"child unwilling": `(trap "" TERM; exec sleep 1000) & echo $! >"$1"; wait`,
		"all unwilling":   `trap "" TERM; sleep 1000 & echo $! >"$1"; wait; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cmd, child := script(ctx, t, 100*time.Millisecond, text)
			pid := child()
			cancel()
			require.Error(t, Wait(cmd))
			harness.AwaitGone(t, pid)
			require.ErrorIs(t, syscall.Kill(cmd.Process.Pid, 0), syscall.ESRCH)
		})
	}
}

// A program that has ended has ended: what it left in the background is killed,
// though it kept the output open.
func TestWhatIsLeftBehindIsKilled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "child")
	cmd := Command(t.Context(), 50*time.Millisecond, "sh", "-c", `sleep 1000 & echo $! >"$1"; echo done`, "sh", file)
	var said []string
	lines := &Lines{Each: func(line string) { said = append(said, line) }}
	cmd.Stdout = lines
	require.NoError(t, Run(cmd))
	lines.Flush()
	require.Equal(t, []string{"done"}, said)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	harness.AwaitGone(t, pid)
}

func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	var exit *exec.ExitError
	require.ErrorAs(t, Run(Command(t.Context(), time.Second, "sh", "-c", "exit 3")), &exit)
	require.Equal(t, 3, exit.ExitCode())
	require.ErrorIs(t, Run(Command(t.Context(), time.Second, "no-such-program")), exec.ErrNotFound)
}

func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	lines := &Lines{Each: func(line string) { got = append(got, line) }}
	for _, part := range []string{"one\ntw", "o\r\n", "\n", strings.Repeat("x", longestLine+2), "\nend"} {
		n, err := lines.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	lines.Flush()
	lines.Flush()
	require.Equal(t, []string{"one", "two", "", strings.Repeat("x", longestLine), "xx", "end"}, got)
}
