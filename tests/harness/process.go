package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// Program runs in a process of its own until ctx ends, which SIGTERM does. It
// reads its settings from the environment.
type Program func(ctx context.Context) error

// programVar names the program that the test binary is to be.
const programVar = "ORCHESTRATOR_TEST_PROGRAM"

// Main is for TestMain. It runs the tests, or the program that [Start] has
// started this process for.
func Main(m *testing.M, programs map[string]Program) {
	if name := os.Getenv(programVar); name != "" {
		os.Exit(run(programs[name]))
	}
	goleak.VerifyTestMain(orchestratortest.Main(m))
}

func run(program Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// Standard input ends with the test, however that ends.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := program(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Say prints a line for [Process.Expect].
func Say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Process is a program of the suite that runs in a process of its own.
type Process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string
	wait  func() error
}

// Start starts a program; env adds to this process's environment. The process
// is killed at the end of the test if it still runs.
func Start(t testing.TB, program string, env ...string) *Process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), programVar+"="+program), env...)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &Process{cmd: cmd, stdin: stdin, lines: make(chan string, 10_000)}
	p.wait = sync.OnceValue(func() error {
		p.read(stdout)
		_ = stdin.Close()
		return cmd.Wait()
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return p
}

// read takes in what the process says until it ends.
func (p *Process) read(stdout io.Reader) {
	defer close(p.lines)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		p.lines <- lines.Text()
	}
}

// Expect returns what follows prefix in the next line that begins with it.
func (p *Process) Expect(t testing.TB, prefix string) string {
	t.Helper()
	for {
		line := Receive(t, "the process to say "+prefix, p.lines)
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.wait()
}

// Freeze stops the process as a swapped-out machine would; Thaw lets it go on.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// Terminate asks the process to end and returns when it has, in order.
func (p *Process) Terminate(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.wait())
}

// Wait returns how the process ended by itself.
func (p *Process) Wait() error { return p.wait() }
