package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Job is what a child process does: it is given its spec, and returns what is
// written as JSON.
type Job func(ctx context.Context, spec []byte, link *Link) (any, error)

// JobOf makes a Job of a function with a typed spec and result.
func JobOf[S, R any](f func(ctx context.Context, spec S, link *Link) (R, error)) Job {
	return func(ctx context.Context, text []byte, link *Link) (any, error) {
		var spec S
		if err := json.Unmarshal(text, &spec); err != nil {
			return nil, fmt.Errorf("read the spec: %w", err)
		}
		return f(ctx, spec, link)
	}
}

// Link is a child's side of the conversation with its parent.
type Link struct {
	stdout  io.Writer
	stopped chan struct{}
	once    sync.Once
	err     error
}

// Ready tells the parent, which waits in Child.Ready, that the job is under way.
func (l *Link) Ready() error {
	l.once.Do(func() { _, l.err = fmt.Fprintln(l.stdout, readyLine) })
	return l.err
}

// Stopped is closed by Child.Stop, and when the parent has died.
func (l *Link) Stopped() <-chan struct{} { return l.stopped }

const readyLine = "ready"

// RunChild runs a job with the spec on stdin and its result on stdout, and
// returns the process's exit status. What else is printed goes to stderr.
func RunChild(jobs map[string]Job, name string) int {
	err := runChild(jobs, name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, err)
		return 1
	}
	return 0
}

func runChild(jobs map[string]Job, name string) error {
	job, known := jobs[name]
	if !known {
		return fmt.Errorf("no such job")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	stdout := os.Stdout
	os.Stdout = os.Stderr // libraries may print
	link := &Link{stdout: stdout, stopped: make(chan struct{})}
	in := bufio.NewReader(os.Stdin)
	spec, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	parent := os.Getppid()
	go func() {
		_, _ = io.Copy(io.Discard, in) // until the parent closes it, or dies
		close(link.stopped)
		if os.Getppid() != parent {
			cancel()
		}
	}()
	result, err := job(ctx, spec, link)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}
