package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a program to run as a child. The zero value is this program.
type Command struct {
	Path string
	Args []string
	Env  []string // beside the environment of this process
	Dir  string
}

// Usage is what processes took.
type Usage struct {
	// CPU is user and system time of all processes together.
	CPU time.Duration
	// MaxRSS is the most memory that one of them had, in bytes.
	MaxRSS int64
}

// Add is for measures of several processes.
func (u Usage) Add(other Usage) Usage {
	return Usage{CPU: u.CPU + other.CPU, MaxRSS: max(u.MaxRSS, other.MaxRSS)}
}

// Child is a running child process.
type Child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ready  chan struct{}
	stderr *tail
	read   sync.WaitGroup
	result []byte // the last line that is a JSON object
}

// Start runs a job of a contestant in a process of its own; ctx kills it. The
// zero Command is this program, as `child CONTESTANT JOB`.
func (l *Lab) Start(ctx context.Context, command Command, contestant, job string, spec any) (*Child, error) {
	if command.Path == "" {
		command = Command{Path: l.program, Args: []string{"child", contestant, job}}
	}
	c := &Child{name: contestant + " " + job, ready: make(chan struct{}), stderr: &tail{}}
	c.cmd = exec.CommandContext(ctx, command.Path, command.Args...)
	c.cmd.Env, c.cmd.Dir, c.cmd.Stderr = append(os.Environ(), command.Env...), command.Dir, c.stderr
	c.cmd.WaitDelay = 5 * time.Second
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", c.name, err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", c.name, err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", c.name, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", c.name, err)
	}
	c.stdin = stdin
	c.read.Go(func() { c.readLines(stdout) })
	if _, err := stdin.Write(append(text, '\n')); err != nil {
		_, failed := c.Wait(nil)
		return nil, errors.Join(fmt.Errorf("bench: %s: give it its spec: %w", c.name, err), failed)
	}
	return c, nil
}

// readLines takes what the child prints until it ends.
func (c *Child) readLines(stdout io.Reader) {
	isReady := false
	defer func() {
		if !isReady {
			close(c.ready)
		}
	}()
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20) // latencies of a whole round
	for lines.Scan() {
		switch line := lines.Bytes(); {
		case string(line) == readyLine && !isReady:
			isReady = true
			close(c.ready)
		case bytes.HasPrefix(line, []byte("{")):
			c.result = bytes.Clone(line)
		default:
			_, _ = c.stderr.Write(append(line, '\n'))
		}
	}
	_, _ = io.Copy(io.Discard, stdout)
}

// Ready waits until the child says that it is ready, or has ended, which Wait
// explains.
func (c *Child) Ready(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop asks the child to end; Link.Stopped is its side.
func (c *Child) Stop() { _ = c.stdin.Close() }

// Wait waits for the child to end, reads its result and tells what it took.
// result may be nil.
func (c *Child) Wait(result any) (Usage, error) {
	c.read.Wait()
	err := c.cmd.Wait()
	c.Stop()
	usage := usageOf(c.cmd.ProcessState)
	if err != nil {
		return usage, fmt.Errorf("bench: %s: %w\n%s", c.name, err, c.stderr)
	}
	if result != nil {
		if err := json.Unmarshal(c.result, result); err != nil {
			return usage, fmt.Errorf("bench: the result of %s, %q: %w\n%s", c.name, c.result, err, c.stderr)
		}
	}
	return usage, nil
}

// Run starts a child and waits for it.
func (l *Lab) Run(ctx context.Context, command Command, contestant, job string, spec, result any) (Usage, error) {
	c, err := l.Start(ctx, command, contestant, job, spec)
	if err != nil {
		return Usage{}, err
	}
	return c.Wait(result)
}

func usageOf(state *os.ProcessState) Usage {
	u := Usage{CPU: state.UserTime() + state.SystemTime()}
	if r, is := state.SysUsage().(*syscall.Rusage); is {
		u.MaxRSS = int64(r.Maxrss)   //nolint:unconvert // fewer bits on smaller machines
		if runtime.GOOS == "linux" { // in kilobytes, elsewhere in bytes
			u.MaxRSS *= 1024
		}
	}
	return u
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
