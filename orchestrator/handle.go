package orchestrator

import (
	"context"
	"iter"
	"time"
)

// TaskRef refers to a stored task of any type. Its zero value refers to none.
//
// It is one pointer wide, because generated code holds it in a [Handle] of a
// type of its own for every task: what is done with it is compiled that often.
type TaskRef struct{ *taskRef }

type taskRef struct {
	id         TaskID
	existing   bool
	typeName   string    // "" when not known
	enqueuedAt time.Time // zero when not known; bounds the search in history
	source     ResultSource
}

// ResultSource finds results for a [TaskRef]; [*Client] is one.
type ResultSource interface {
	// WaitResult waits until the task has finished and returns its result's
	// JSON. See [Handle.Result] for the errors.
	WaitResult(ctx context.Context, ref TaskRef) ([]byte, error)
}

// NewTaskRef is for an [Enqueuer] of your own; source may be nil when nobody
// waits for results.
func NewTaskRef(id TaskID, existing bool, source ResultSource) TaskRef {
	return TaskRef{&taskRef{id: id, existing: existing, source: source}}
}

// ID is the task's id.
func (r TaskRef) ID() TaskID {
	if r.taskRef == nil {
		return 0
	}
	return r.id
}

// Existing tells whether the enqueue found its idempotency key taken, and this
// refers to the task that was there first, replaced or not.
func (r TaskRef) Existing() bool { return r.taskRef != nil && r.existing }

// Handle is a [TaskRef] that knows the type of the task's result.
type Handle[R any] struct {
	TaskRef
	Decode func([]byte) (R, error) // set by generated code
}

// Result waits until the task has finished. It returns a [*TaskError] when
// the task ended dead, cancelled or expired, [ErrNotFound] when it is not in
// the database (any more), and ctx's error when ctx ends first.
func (h Handle[R]) Result(ctx context.Context) (R, error) {
	data, err := wait(ctx, h.TaskRef)
	if err != nil {
		var zero R
		return zero, err
	}
	return h.Decode(data)
}

// Results waits for the results of many tasks and yields them in the order of
// handles, each with the error that [Handle.Result] would return. All are
// waited for at the same time, in few statements, which makes it many times
// faster than calling Result on one after the other.
func Results[R any](ctx context.Context, handles []Handle[R]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		refs := make([]TaskRef, len(handles))
		for i := range handles {
			refs[i] = handles[i].TaskRef
		}
		i := 0
		for data, err := range waitAll(ctx, refs) {
			var result R
			if err == nil {
				result, err = handles[i].Decode(data)
			}
			if i++; !yield(result, err) {
				return
			}
		}
	}
}
