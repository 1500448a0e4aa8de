package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/examples/devserver/tasks"
	"github.com/task-orchestrator/task-orchestrator/examples/process"
)

// stopGrace is how long a service has to end when it is asked to. Then all of
// its processes are killed.
const stopGrace = 3 * time.Second

// run is one process of a service, from its start to its end.
type run struct {
	service  service
	timing   *supervisor
	task     *tasks.ServiceRunTask
	restarts int // before it

	port      int
	healthyAt time.Time // zero: it never was
}

// until runs the service until it ends, ctx ends, or it is not healthy. A nil
// error means that it has ended by itself, and well.
func (r *run) until(ctx context.Context) (err error) {
	if r.port, err = choosePort(ctx, r.task.Payload.Port); err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := process.Command(running, stopGrace, r.service.command[0], r.service.command[1:]...)
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(r.port))
	said := &lastWords{}
	stdout, stderr := &process.Lines{Each: r.log("stdout")}, &process.Lines{Each: said.and(r.log("stderr"))}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// It may notice by the end of its input that the worker was killed.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	r.progress(ctx, 0, "starting")
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	watching, endWatch := context.WithCancel(running)
	go func() {
		ended <- process.Wait(cmd)
		endWatch()
	}()
	sick := r.watch(watching)
	if sick != nil {
		stop(sick)
	}
	err = <-ended
	stdout.Flush()
	stderr.Flush()
	switch {
	case sick != nil:
		return sick
	case err != nil:
		return fmt.Errorf("%w%s", err, said)
	}
	return nil
}

// choosePort returns the port that is wanted, or one that is free now. Should
// somebody take it first, the service crashes and the next run has another.
func choosePort(ctx context.Context, wanted *int) (int, error) {
	if wanted != nil {
		return *wanted, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// watch checks the service's health until ctx ends. It returns why the service
// has to be stopped.
func (r *run) watch(ctx context.Context) error {
	client := &http.Client{Timeout: r.timing.startWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	began, failed := time.Now(), 0
	for {
		err := r.check(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && r.healthyAt.IsZero():
			r.healthyAt = time.Now()
			r.progress(ctx, 1, "healthy")
			r.task.Logger().Info("service is healthy", "service", r.task.Payload.Name, "port", r.port, "restarts", r.restarts)
		case err == nil && failed > 0:
			r.progress(ctx, 1, "healthy")
		case err != nil && r.healthyAt.IsZero() && time.Since(began) > r.timing.startWithin:
			return fmt.Errorf("%w: %w", errNotStarted, err)
		case err != nil && !r.healthyAt.IsZero() && failed+1 == checksLost:
			return fmt.Errorf("%w: %w", errUnresponsive, err)
		case err != nil && !r.healthyAt.IsZero():
			r.progress(ctx, 0, "not healthy")
		}
		failed++
		if err == nil {
			failed = 0
		}
		if sleep(ctx, r.timing.checkEvery) != nil {
			return nil
		}
	}
}

func (r *run) check(ctx context.Context, client *http.Client) error {
	// One that hangs has failed its check when the next is due, and is not
	// given less than a second on a busy machine.
	ctx, cancel := context.WithTimeout(ctx, max(r.timing.checkEvery, time.Second))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", r.port, r.service.health), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		err = errors.New(response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// healthyFor is how long ago the service was healthy first.
func (r *run) healthyFor() time.Duration {
	if r.healthyAt.IsZero() {
		return 0
	}
	return time.Since(r.healthyAt)
}

// progress tells people the state, port and restarts.
func (r *run) progress(ctx context.Context, fraction float64, state string) {
	_ = r.task.Progress(ctx, fraction, fmt.Sprintf("%s, port %d, restarts %d", state, r.port, r.restarts))
}

func (r *run) log(stream string) func(string) {
	logger := r.task.Logger().With("service", r.task.Payload.Name, "stream", stream)
	return func(line string) { logger.Info(line) }
}

// lastWords are the last lines of what a service says on standard error.
type lastWords struct{ lines []string }

func (l *lastWords) and(next func(string)) func(string) {
	return func(line string) {
		next(line)
		if strings.TrimSpace(line) == "" {
			return
		}
		if len(l.lines) == 5 {
			l.lines = l.lines[1:]
		}
		l.lines = append(l.lines, line)
	}
}

// String is for after an error.
func (l *lastWords) String() string {
	if len(l.lines) == 0 {
		return ""
	}
	return ": " + strings.Join(l.lines, "; ")
}
