package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/examples/devserver/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// service is a program that serves HTTP on the port that PORT names. Tasks name
// services instead of giving commands: who may enqueue a task must not get to
// run whatever he likes.
type service struct {
	command []string
	health  string // a path that answers below 400 when all is well
}

// supervisor works service:run.
type supervisor struct {
	services map[string]service

	startWithin time.Duration // to be healthy
	checkEvery  time.Duration
	backoff     time.Duration // before the first restart; doubled each time, up to a hundredfold
	stableAfter time.Duration // a service that was healthy for so long has not crashed in a row
}

func newSupervisor(services map[string]service) *supervisor {
	return &supervisor{services, 15 * time.Second, time.Second, 200 * time.Millisecond, time.Minute}
}

const (
	// serviceCrashed says that a service crashed once more than it may.
	serviceCrashed orchestrator.Code = "service_crashed"
	// checksLost is how many checks in a row a healthy service may fail.
	checksLost = 3
)

// HandleServiceRun returns when the task is cancelled, its worker stops, or the
// service ends by itself. Crashes it mends, up to a point: then the attempt
// fails, and the retry policy decides.
func (s *supervisor) HandleServiceRun(ctx context.Context, t *tasks.ServiceRunTask) (result tasks.ServiceRunResult, err error) {
	service, found := s.services[t.Payload.Name]
	if !found {
		return result, fmt.Errorf("%w: %q: this worker does not know it", tasks.ServiceRunUnknownService, t.Payload.Name)
	}
	for inARow := 0; ; {
		run := &run{service: service, timing: s, task: t, restarts: result.Restarts}
		err := run.until(ctx)
		switch {
		case ctx.Err() != nil:
			t.Logger().Info("service stopped", "service", t.Payload.Name, "because", context.Cause(ctx))
			return result, context.Cause(ctx)
		case err == nil:
			return result, nil
		case run.healthyFor() >= s.stableAfter:
			inARow = 0
		}
		if inARow == t.Payload.MaxRestarts {
			return result, fmt.Errorf("%w: after %d restarts: %w", serviceCrashed, inARow, err)
		}
		delay := s.backoff << min(inARow, 6)
		inARow++
		result.Restarts++
		t.Logger().Warn("service crashed", "service", t.Payload.Name, "error", err, "restart", result.Restarts, "after", delay)
		run.progress(ctx, 0, "crashed, to be restarted")
		if err := sleep(ctx, delay); err != nil {
			return result, err
		}
	}
}

// sleep returns early, with its cause, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

var (
	errNotStarted   = errors.New("not healthy in time")
	errUnresponsive = errors.New("not healthy any more")
)
