package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/task-orchestrator/task-orchestrator/examples/demonstration/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// handlers works all tasks of tasks.yaml, and prints what it sees.
type handlers struct{ out io.Writer }

// HandleDemoShow uses all that a handler has.
func (h handlers) HandleDemoShow(ctx context.Context, t *tasks.DemoShowTask) (tasks.DemoShowResult, error) {
	fmt.Fprintf(h.out, "  task %s, %s, attempt %d of %d, queue %s, priority %d\n", t.ID, t.Type, t.Attempt, t.MaxAttempts, t.Queue, t.Priority)
	// Sensitive fields print redacted, in logs too; their text is there for code that needs it.
	fmt.Fprintf(h.out, "  payload: title %q, times %d, token %v (%d characters)\n", t.Payload.Title, t.Payload.Times, t.Payload.Token, len(t.Payload.Token.Reveal()))
	for _, key := range slices.Sorted(maps.Keys(t.Metadata)) {
		fmt.Fprintf(h.out, "  metadata: %s=%s\n", key, t.Metadata[key])
	}
	// The timeout of tasks.yaml is the context's deadline.
	deadline, _ := ctx.Deadline()
	fmt.Fprintf(h.out, "  has some %s from now\n", time.Until(deadline).Round(10*time.Second))

	var said []string
	for i := range t.Payload.Times {
		// What somebody who looks at the task is told. The error says that
		// nobody waits for the rest: cancelled, timed out, lease lost.
		if err := t.Progress(ctx, float64(i)/float64(t.Payload.Times), fmt.Sprintf("line %d of %d", i+1, t.Payload.Times)); err != nil {
			return tasks.DemoShowResult{}, err
		}
		said = append(said, t.Payload.Title)
	}
	// Every line of it has the task's id, type, attempt, worker and trace.
	t.Logger().Info("all said", "lines", len(said))
	return tasks.DemoShowResult{Said: said}, nil
}

// printerBusy is a code that the policy does not name: such errors are retried.
const printerBusy orchestrator.Code = "printer_busy"

// HandleDemoFlaky fails as often as it is told to. Each failure is kept with
// the task, and the policy says when it is tried again.
func (h handlers) HandleDemoFlaky(_ context.Context, t *tasks.DemoFlakyTask) (tasks.DemoFlakyResult, error) {
	if t.Attempt <= t.Payload.Failures {
		err := fmt.Errorf("%w: jobs ahead: %d", printerBusy, t.Payload.Failures-t.Attempt+1)
		fmt.Fprintf(h.out, "  attempt %d of %d: %v\n", t.Attempt, t.MaxAttempts, err)
		return tasks.DemoFlakyResult{}, err
	}
	fmt.Fprintf(h.out, "  attempt %d of %d: printed\n", t.Attempt, t.MaxAttempts)
	return tasks.DemoFlakyResult{Attempts: t.Attempt}, nil
}

// HandleDemoBroken never succeeds. When its attempts are used up the task is a
// dead letter, and at once with a code of give_up_on.
func (h handlers) HandleDemoBroken(_ context.Context, t *tasks.DemoBrokenTask) error {
	err := fmt.Errorf("no paper in tray %d", t.Attempt)
	if t.Payload.Hopeless {
		err = fmt.Errorf("%w: the printer is on fire", tasks.DemoBrokenBeyondRepair)
	}
	fmt.Fprintf(h.out, "  attempt %d of %d: %v\n", t.Attempt, t.MaxAttempts, err)
	return err
}
