package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program may take to start or to stop.
const patience = time.Minute

// process is a child whose output is kept.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu     sync.Mutex
	output []string
	news   chan struct{} // closed and replaced when a line comes
	err    error         // of Wait, once ended is closed
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		p.read(read)
		_ = read.Close()
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.output = append(p.output, lines.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
}

// Output is what the program has written so far, line by line.
func (p *process) Output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.output...)
}

// expect waits for a line that holds text and returns what follows it there.
func (p *process) expect(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for seen := 0; ; {
		p.mu.Lock()
		lines, news := p.output[seen:], p.news
		seen = len(p.output)
		p.mu.Unlock()
		for _, line := range lines {
			if _, after, found := strings.Cut(line, text); found {
				return after, nil
			}
		}
		select {
		case <-news:
		case <-p.ended:
			return "", p.failed("ended before it said " + text)
		case <-ctx.Done():
			return "", p.failed("did not say " + text)
		}
	}
}

func (p *process) failed(what string) error {
	return fmt.Errorf("%s %s:\n%s", p.cmd.Path, what, strings.Join(p.Output(), "\n"))
}

// Stop asks the program to end, in order, and waits until it has.
func (p *process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return p.failed("did not stop")
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		return p.failed(p.err.Error())
	}
	return nil
}

// PID is the program's process id.
func (p *process) PID() int { return p.cmd.Process.Pid }

// freePorts finds ports of loopback that nobody listens on.
func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }()
		addrs[i] = listener.Addr().String()
	}
	return addrs, nil
}

// until asks again and again, for as long as programs may take.
func until(ctx context.Context, p *process, what string, reached func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := reached(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return p.failed("ended: " + what)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
