package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

func wait(ctx context.Context, r TaskRef) ([]byte, error) {
	if r.taskRef == nil || r.source == nil {
		return nil, errors.New("orchestrator: this handle was not made by a client and has no results")
	}
	return r.source.WaitResult(ctx, r)
}

// maxAwaited is how many tasks waitAll waits for at a time.
const maxAwaited = 5000

// waitAll yields what WaitResult returns for each of refs, in order.
func waitAll(ctx context.Context, refs []TaskRef) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var waiting []<-chan resultAnswer // for the refs from the next one to yield on
		next := 0
		for range refs {
			for next < len(refs) && len(waiting) < maxAwaited {
				waiting = append(waiting, await(ctx, refs[next]))
				next++
			}
			var answer resultAnswer
			select {
			case answer = <-waiting[0]:
			case <-ctx.Done():
				answer = resultAnswer{err: endOf(ctx)}
			}
			if waiting = waiting[1:]; !yield(answer.result, answer.err) {
				return
			}
		}
	}
}

// await is wait in the background, until ctx ends.
func await(ctx context.Context, r TaskRef) <-chan resultAnswer {
	if r.taskRef == nil {
		r = NewTaskRef(0, false, nil)
	}
	if c, ok := r.source.(*Client); ok {
		answer := c.results.wait(r)
		context.AfterFunc(ctx, func() { c.results.forget(r.id, answer) })
		return answer
	}
	answer := make(chan resultAnswer, 1)
	result, err := wait(ctx, r)
	answer <- resultAnswer{result, err}
	return answer
}

// Lookup refers to a task that was enqueued elsewhere. It does not ask the
// database; whether the task exists shows when its result is waited for.
// Generated Lookup functions give it the result's type.
func (c *Client) Lookup(d *Definition, id TaskID) TaskRef {
	return TaskRef{&taskRef{id: id, typeName: d.Name, source: c}}
}

// WaitResult implements [ResultSource].
func (c *Client) WaitResult(ctx context.Context, ref TaskRef) ([]byte, error) {
	answer := c.results.wait(ref)
	select {
	case a := <-answer:
		return a.result, a.err
	case <-ctx.Done():
		c.results.forget(ref.id, answer)
		return nil, endOf(ctx)
	}
}

// endOf says how ctx ended: its error, and its cause where that says more.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Results are polled for, all that are waited for in one statement, soon at
// first and then less often. A worker of the same process says when it has
// finished something, which makes the next poll come at once.
const (
	resultPollMin = 2 * time.Millisecond
	resultPollMax = 250 * time.Millisecond
	resultBatch   = 1000
)

// results answers all waiting handles of a client from one goroutine, which
// lives while somebody waits.
type results struct {
	client *Client
	poke   chan struct{}

	mu      sync.Mutex
	waiting map[TaskID][]waiter
	polling bool
	closed  bool
	ended   sync.WaitGroup
}

type waiter struct {
	ref    TaskRef
	answer chan resultAnswer
}

type resultAnswer struct {
	result []byte
	err    error
}

func newResults(c *Client) *results {
	return &results{client: c, poke: make(chan struct{}, 1), waiting: map[TaskID][]waiter{}}
}

var errClientClosed = errors.New("orchestrator: client is closed")

func (r *results) wait(ref TaskRef) chan resultAnswer {
	answer := make(chan resultAnswer, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		answer <- resultAnswer{err: errClientClosed}
		return answer
	}
	r.waiting[ref.id] = append(r.waiting[ref.id], waiter{ref, answer})
	if !r.polling {
		r.polling = true
		r.ended.Go(r.poll)
	} else {
		r.wakeUp()
	}
	return answer
}

func (r *results) forget(id TaskID, answer chan resultAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.waiting[id][:0]
	for _, w := range r.waiting[id] {
		if w.answer != answer {
			kept = append(kept, w)
		}
	}
	if r.waiting[id] = kept; len(kept) == 0 {
		delete(r.waiting, id)
	}
	r.wakeUp() // to end the polling when nobody is left
}

// finished is told by workers of this process.
func (r *results) finished() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.polling {
		r.wakeUp()
	}
}

func (r *results) wakeUp() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

func (r *results) close() {
	r.mu.Lock()
	r.closed = true
	for id, waiters := range r.waiting {
		for _, w := range waiters {
			w.answer <- resultAnswer{err: errClientClosed}
		}
		delete(r.waiting, id)
	}
	r.wakeUp()
	r.mu.Unlock()
	r.ended.Wait()
}

func (r *results) poll() {
	pause := resultPollMin
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		ids, since, ok := r.next()
		if !ok {
			return
		}
		if r.ask(ids, since) {
			pause = resultPollMin
		} else {
			pause = min(2*pause, resultPollMax)
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-r.poke:
			pause = resultPollMin
		}
	}
}

// next returns the tasks to ask for, or false when nobody waits any more. Go
// visits a map in random order, so all of more than a batch get their turn.
func (r *results) next() (ids []int64, since time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.polling = false
		return nil, since, false
	}
	since = time.Unix(1<<40, 0)
	for id, waiters := range r.waiting {
		if len(ids) == resultBatch {
			break
		}
		ids = append(ids, int64(id))
		for _, w := range waiters {
			if w.ref.enqueuedAt.Before(since) { // zero when not known: all of history
				since = w.ref.enqueuedAt
			}
		}
	}
	return ids, since.Add(-time.Hour), true
}

// ask answers what can be answered and tells whether that was anything.
func (r *results) ask(ids []int64, since time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := r.client.store.Outcomes(ctx, ids, since)
	if err != nil {
		// The callers' contexts decide how long an unreachable database is
		// waited for.
		r.client.logger.Warn("results could not be read; trying again", "error", err)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := false
	missing := map[TaskID]bool{}
	for _, id := range ids {
		missing[TaskID(id)] = true
	}
	for _, o := range found {
		delete(missing, TaskID(o.ID))
		if o.State >= store.StateSucceeded {
			r.answer(TaskID(o.ID), func(w waiter) resultAnswer { return answerOf(w.ref, o) })
			answered = true
		}
	}
	for id := range missing {
		r.answer(id, func(waiter) resultAnswer { return resultAnswer{err: ErrNotFound} })
		answered = true
	}
	return answered
}

func (r *results) answer(id TaskID, answer func(waiter) resultAnswer) {
	for _, w := range r.waiting[id] {
		w.answer <- answer(w)
	}
	delete(r.waiting, id)
}

func answerOf(ref TaskRef, o store.Outcome) resultAnswer {
	if ref.typeName != "" && ref.typeName != o.Type {
		return resultAnswer{err: &typeMismatchError{id: ref.id, want: ref.typeName, got: o.Type}}
	}
	if o.State == store.StateSucceeded {
		return resultAnswer{result: o.Result}
	}
	return resultAnswer{err: &TaskError{
		ID: ref.id, State: stateOf(o.State), Code: Code(o.Code), Message: o.Message, Attempt: int(o.Attempts),
	}}
}

// typeMismatchError is an id given to the Lookup function of another task type.
type typeMismatchError struct {
	id        TaskID
	want, got string
}

func (e *typeMismatchError) Error() string {
	return "orchestrator: task " + e.id.String() + " is a " + e.got + ", not a " + e.want
}

func (e *typeMismatchError) Is(target error) bool { return target == ErrNotFound }
