package orchestrator

import (
	"context"
	"time"
)

// Enqueuer takes tasks into the queue. [*Client] is one, and so are the values
// of [Client.InTx] and [Client.InPgxTx], whose tasks live and die with a
// transaction of the caller. Package orchestratortest has one for tests.
//
// Enqueue stores the whole batch or nothing, and returns one reference a
// request, in the order of the batch.
type Enqueuer interface {
	Enqueue(ctx context.Context, batch []Request) ([]TaskRef, error)
}

// Request is one task on its way into the queue, its payload already encoded.
// Generated enqueue functions build it; use those.
type Request struct {
	Definition *Definition
	Payload    []byte // a JSON object
	// IdempotencyKey is the encoded key fields; "" is none.
	IdempotencyKey string
	// GroupKey is the encoded group fields; "" is ungrouped.
	GroupKey string
	// LimitKey is the encoded fields of concurrency.by; "" is none.
	LimitKey string

	overrides overrides
}

// overrides is what EnqueueOptions set; a nil pointer and a zero value leave
// the definition's.
type overrides struct {
	priority    *int
	queue       string
	runAt       time.Time
	delay       time.Duration
	maxAttempts int
	timeout     *time.Duration
	ttl         *time.Duration
	deadline    *time.Duration
	metadata    map[string]string
}

// EnqueueOption changes one enqueue; see the With functions.
type EnqueueOption func(*Request)

// Apply applies opts in order; a later one wins.
func (r *Request) Apply(opts []EnqueueOption) {
	for _, opt := range opts {
		opt(r)
	}
}

// WithPriority overrides the declared priority; -100 to 100, higher runs first.
func WithPriority(priority int) EnqueueOption {
	return func(r *Request) { r.overrides.priority = &priority }
}

// WithQueue sends the task to another queue than its declared one.
func WithQueue(name string) EnqueueOption {
	return func(r *Request) { r.overrides.queue = name }
}

// WithRunAt keeps the task waiting until t, compared with the database's clock.
func WithRunAt(t time.Time) EnqueueOption {
	return func(r *Request) { r.overrides.runAt, r.overrides.delay = t, 0 }
}

// WithDelay keeps the task waiting for d from the moment the database takes it.
func WithDelay(d time.Duration) EnqueueOption {
	return func(r *Request) { r.overrides.delay, r.overrides.runAt = d, time.Time{} }
}

// WithIdempotencyKey sets the key instead of the declared fields'. A task
// enqueued with a key that its type has seen within the window is a duplicate.
func WithIdempotencyKey(key string) EnqueueOption {
	return func(r *Request) { r.IdempotencyKey = key }
}

// WithMaxAttempts overrides retry.max_attempts for this task; 1 is no retry.
func WithMaxAttempts(n int) EnqueueOption {
	return func(r *Request) { r.overrides.maxAttempts = n }
}

// WithTimeout overrides the timeout of one attempt for this task; 0 is none.
func WithTimeout(d time.Duration) EnqueueOption {
	return func(r *Request) { r.overrides.timeout = &d }
}

// WithTTL lets the task expire instead of starting an attempt, the first or a
// retry, later than d after its run_at; 0 is never.
func WithTTL(d time.Duration) EnqueueOption {
	return func(r *Request) { r.overrides.ttl = &d }
}

// WithDeadline bounds all attempts of this task together, instead of the
// declared deadline: after d from its run_at none is running and none starts,
// and the task is dead with [CodeDeadline]. 0 is none.
func WithDeadline(d time.Duration) EnqueueOption {
	return func(r *Request) { r.overrides.deadline = &d }
}

// WithMetadata attaches strings that handlers, `orchestrator tasks show` and
// the API give back. They are not validated and not secret.
func WithMetadata(metadata map[string]string) EnqueueOption {
	return func(r *Request) { r.overrides.metadata = metadata }
}
