package codec

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Batch is tasks of one type on their way into the queue.
type Batch struct {
	definition *orchestrator.Definition
	requests   []orchestrator.Request
	failed     int // index of the payload that err is about
	err        error
}

// NewBatch has room for size tasks.
//
//go:noinline
func NewBatch(d *orchestrator.Definition, size int) *Batch {
	return &Batch{definition: d, requests: make([]orchestrator.Request, 0, size)}
}

// Add takes what encoding the next payload gave. The request it returns wants
// its keys; it is valid until the next Add. After an error nothing is
// enqueued, and the first error is what the enqueue returns.
//
//go:noinline
func (b *Batch) Add(payload []byte, err error) *orchestrator.Request {
	if err != nil && b.err == nil {
		b.failed, b.err = len(b.requests), err
	}
	b.requests = append(b.requests, orchestrator.Request{Definition: b.definition, Payload: payload})
	return &b.requests[len(b.requests)-1]
}

// EnqueueOne enqueues a batch of one task.
func (b *Batch) EnqueueOne(ctx context.Context, e orchestrator.Enqueuer, opts []orchestrator.EnqueueOption) (orchestrator.TaskRef, error) {
	if b.err != nil {
		return orchestrator.TaskRef{}, fmt.Errorf("orchestrator: enqueue %s: %w", b.definition.Name, b.err)
	}
	refs, err := b.send(ctx, e, opts)
	if err != nil {
		return orchestrator.TaskRef{}, err
	}
	return refs[0], nil
}

// Enqueue enqueues the batch in one transaction; an empty one makes none.
func (b *Batch) Enqueue(ctx context.Context, e orchestrator.Enqueuer, opts []orchestrator.EnqueueOption) ([]orchestrator.TaskRef, error) {
	if b.err != nil {
		return nil, fmt.Errorf("orchestrator: enqueue %s: task %d of the batch: %w", b.definition.Name, b.failed, b.err)
	}
	if len(b.requests) == 0 {
		return nil, nil
	}
	return b.send(ctx, e, opts)
}

// send leaves the Enqueuer's errors as they are: they name the task themselves.
func (b *Batch) send(ctx context.Context, e orchestrator.Enqueuer, opts []orchestrator.EnqueueOption) ([]orchestrator.TaskRef, error) {
	for i := range b.requests {
		b.requests[i].Apply(opts)
	}
	refs, err := e.Enqueue(ctx, b.requests)
	if err != nil {
		return nil, err
	}
	if len(refs) != len(b.requests) {
		return nil, fmt.Errorf("orchestrator: enqueue %s: the Enqueuer returned %d references for %d tasks", b.definition.Name, len(refs), len(b.requests))
	}
	return refs, nil
}
