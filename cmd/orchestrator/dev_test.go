package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// program is the built command, for what only a process of its own can show.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orchestrator")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return path
}

// running is a program under test.
type running struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
}

func start(t *testing.T, dir string, environ []string, command ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(command[0], command[1:]...)}
	r.cmd.Dir = dir
	r.cmd.Env = append(os.Environ(), environ...)
	r.cmd.Stderr = &r.stderr
	out, in, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = out.Close() })
	r.cmd.Stdout, r.stdout = in, bufio.NewReader(out)
	require.NoError(t, r.cmd.Start())
	require.NoError(t, in.Close())
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Signal(syscall.SIGTERM)
			_ = r.cmd.Wait()
		}
	})
	return r
}

func (r *running) line(t *testing.T) string {
	t.Helper()
	line, err := r.stdout.ReadString('\n')
	require.NoError(t, err, "%s", &r.stderr)
	return strings.TrimSuffix(line, "\n")
}

// end waits for the program and returns its exit status.
func (r *running) end(t *testing.T) int {
	t.Helper()
	_, err := io.Copy(io.Discard, r.stdout)
	require.NoError(t, err)
	err = r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return r.cmd.ProcessState.ExitCode()
}

func TestDevRunsACommandOnAMigratedDatabase(t *testing.T) {
	t.Parallel()
	tt := terminal{environ: append(os.Environ(), "DATABASE_URL=postgres://elsewhere")}
	got := tt.run(t, "dev", "--ephemeral", "--", "sh", "-c", `psql -Atc "SELECT count(*) FROM orchestrator.tasks" "$DATABASE_URL" || echo "$DATABASE_URL"; exit 3`)
	require.Equal(t, 3, got.status, got.stderr)
	require.Regexp(t, `^(0|postgres://.*127\.0\.0\.1.*)\n$`, got.stdout)
	require.Regexp(t, fmt.Sprintf(`PostgreSQL \d+\.\d+ is ready\n%d migrations applied\nDATABASE_URL was set; the command gets the private server's instead\n$`, len(migrationNames)), got.stderr)
}

func TestDevOfACommandThatCannotRun(t *testing.T) {
	t.Parallel()
	got := terminal{environ: os.Environ()}.run(t, "dev", "--ephemeral", "--", "/no/such/program")
	require.Equal(t, exitFailure, got.status)
	require.Contains(t, got.stderr, "orchestrator: run /no/such/program: ")
}

// A signal reaches the command and what the command started, and the server
// goes only after the last of them has ended.
func TestDevForwardsSignals(t *testing.T) {
	t.Parallel()
	const script = `trap 'echo parent $?; exit 7' TERM; sh -c 'trap "sleep 0.3; echo child; exit 0" TERM; echo ready; while :; do sleep 0.05; done' & while :; do wait; done`
	r := start(t, t.TempDir(), nil, program(t), "dev", "--ephemeral", "--", "sh", "-c", script)
	require.Equal(t, "ready", r.line(t))
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	lines := []string{strings.Fields(r.line(t))[0], strings.Fields(r.line(t))[0]}
	require.ElementsMatch(t, []string{"parent", "child"}, lines)
	require.Equal(t, 7, r.end(t))
}

func TestDevAloneStaysUpUntilASignal(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), nil, program(t), "dev", "--ephemeral")
	client, err := orchestrator.Open(t.Context(), r.line(t))
	require.NoError(t, err)
	pending, err := client.Migrator().Pending(t.Context())
	require.NoError(t, err)
	require.Empty(t, pending)
	require.NoError(t, client.Close())
	require.NoError(t, r.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, r.end(t), "%s", &r.stderr)
	require.Contains(t, r.stderr.String(), "Ctrl-C ends it.\n")
}

// The starter is built and run as it is written, on this clone.
func TestStarterRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a module")
	}
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "hello-world")
	got := terminal{environ: os.Environ()}.run(t, "init", dir, "--replace", root)
	require.Zero(t, got.status, got.stderr)
	goCommand(t, dir, "mod", "tidy")
	goCommand(t, dir, "generate", "./...")
	goCommand(t, dir, "vet", "./...")
	require.Empty(t, goCommand(t, dir, "tool", "orchestrator", "generate", "--check"))

	r := start(t, dir, nil, "go", "tool", "orchestrator", "dev", "--ephemeral", "--", "sh", "-c", `echo "$DATABASE_URL"; exec go run .`)
	client, err := orchestrator.Open(t.Context(), r.line(t))
	require.NoError(t, err)
	var task orchestrator.TaskInfo
	require.Eventually(t, func() bool {
		task, err = client.TaskInfo(t.Context(), 1)
		return err == nil && task.State == orchestrator.Succeeded
	}, time.Minute, 10*time.Millisecond, "%v", err)
	require.NoError(t, client.Close())
	require.JSONEq(t, `{"message": "Hello, Ada!"}`, string(task.Result))
	// The worker ends in good order; go run says 1 whenever it is interrupted.
	require.NoError(t, r.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 1, r.end(t))
	require.Contains(t, r.stderr.String(), "worker stopped")
}

func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), output)
	return string(output)
}
