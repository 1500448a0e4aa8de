package contest

import (
	"context"
	"time"
)

// queue is a contestant in Go, connected.
type queue interface {
	// prepare makes the tables.
	prepare(ctx context.Context) error
	// enqueueMany enqueues n tasks as one batch and tells how many handles came
	// back.
	enqueueMany(ctx context.Context, n int) (handles int, err error)
	// enqueueOne is durable when it returns.
	enqueueOne(ctx context.Context) error
	// enqueueInTx begins a transaction, enqueues one task in it and commits;
	// call is what the enqueueing alone took.
	enqueueInTx(ctx context.Context) (call time.Duration, err error)
	// enqueueProbe enqueues one probe, sent now.
	enqueueProbe(ctx context.Context) error
	// work starts a worker that calls h. stop ends it, and returns when all
	// completions are durable.
	work(ctx context.Context, h handlers) (stop func() error, err error)
	close() error
}

// handlers are called by a worker, from many goroutines.
type handlers struct {
	noop  func()
	probe func(sent time.Time)
	// ended is called when the worker has ended, also when nobody asked it to;
	// those that cannot tell do not call it.
	ended func()
}

// template is the text in the payload of all contestants' tasks.
const template = "welcome"

// userID numbers tasks; payloads ask for at least 1.
func userID(i int) int64 { return int64(i) + 1 }
