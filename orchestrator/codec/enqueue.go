package codec

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Enqueue stores one task. The errors of e name the task themselves.
func Enqueue(ctx context.Context, e orchestrator.Enqueuer, r orchestrator.Request, opts []orchestrator.EnqueueOption) (orchestrator.TaskRef, error) {
	r.Apply(opts)
	refs, err := e.Enqueue(ctx, []orchestrator.Request{r})
	if err != nil {
		return orchestrator.TaskRef{}, err
	}
	if len(refs) != 1 {
		return orchestrator.TaskRef{}, countError(r.Definition, 1, len(refs))
	}
	return refs[0], nil
}

// EnqueueMany stores a batch of tasks of one type in one round trip; an empty
// batch makes none.
func EnqueueMany(ctx context.Context, e orchestrator.Enqueuer, batch []orchestrator.Request, opts []orchestrator.EnqueueOption) ([]orchestrator.TaskRef, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	for i := range batch {
		batch[i].Apply(opts)
	}
	refs, err := e.Enqueue(ctx, batch)
	if err != nil {
		return nil, err
	}
	if len(refs) != len(batch) {
		return nil, countError(batch[0].Definition, len(batch), len(refs))
	}
	return refs, nil
}

// EnqueueError names the task in the error of a payload that cannot be encoded.
func EnqueueError(d *orchestrator.Definition, err error) error {
	return fmt.Errorf("orchestrator: enqueue %s: %w", d.Name, err)
}

// EnqueueManyError is [EnqueueError] for the payload at index i of a batch.
func EnqueueManyError(d *orchestrator.Definition, i int, err error) error {
	return fmt.Errorf("orchestrator: enqueue %s: payload %d of the batch: %w", d.Name, i, err)
}

func countError(d *orchestrator.Definition, want, got int) error {
	return fmt.Errorf("orchestrator: enqueue %s: the Enqueuer returned %d references for %d tasks", d.Name, got, want)
}
