package orchestrator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// attemptContext is the context of a handler: it ends with the attempt's
// timeout, with the task's deadline, with the lease, with the worker's patience
// at a shutdown, and by cancel.
//
// A context with a timer, registered with a parent that all attempts share, is
// a good part of what a short attempt costs, and most handlers of that kind
// never look at theirs. So it becomes one when it is first asked for something
// that only such a context can answer. Whoever cannot see the context cannot
// tell the difference.
type attemptContext struct {
	session  context.Context
	task     *Meta
	deadline time.Time // zero: none
	late     error     // the cause when the deadline has passed

	standard atomic.Pointer[standardContext] // nil until it is asked for

	mu        sync.Mutex // held to make standard, and guards the rest
	state     attemptState
	cancelled error // the cause, when that was before the attempt began
}

type attemptState uint8

const (
	attemptWaits attemptState = iota // the task is buffered, or has a slot but no handler yet
	attemptRuns
	attemptOver
)

type standardContext struct {
	context.Context
	cancel  context.CancelCauseFunc
	release context.CancelFunc // stops the timer; nil without one
}

// begin is called before the handler; late is the cause when deadline, if there
// is one, has passed. It returns false when the attempt is cancelled already.
func (c *attemptContext) begin(deadline time.Time, late error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled != nil {
		return false
	}
	c.deadline, c.late, c.state = deadline, late, attemptRuns
	return true
}

// cancel ends the context with a cause. An attempt that has not begun will not.
func (c *attemptContext) cancel(cause error) {
	c.mu.Lock()
	waits := c.state == attemptWaits
	if waits {
		c.cancelled = cause
	}
	c.mu.Unlock()
	if !waits {
		c.asked().cancel(cause)
	}
}

// end releases the context when the handler has returned. What still uses it
// sees that it is cancelled.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = attemptOver
	if s := c.standard.Load(); s != nil {
		s.end()
	}
}

func (s *standardContext) end() {
	if s.release != nil {
		s.release()
	}
	s.cancel(nil)
}

// asked is the context as the standard library makes it.
func (c *attemptContext) asked() *standardContext {
	if s := c.standard.Load(); s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.standard.Load(); s != nil {
		return s
	}
	s := &standardContext{}
	s.Context, s.cancel = context.WithCancelCause(c.session)
	if c.state == attemptOver {
		s.end()
	} else if !c.deadline.IsZero() {
		s.Context, s.release = context.WithDeadlineCause(s.Context, c.deadline, c.late)
	}
	c.standard.Store(s)
	return s
}

// hasEnded tells whether the handler was called and its context has ended.
func (c *attemptContext) hasEnded() bool {
	c.mu.Lock()
	waits := c.state == attemptWaits
	c.mu.Unlock()
	return !waits && c.Err() != nil
}

// Deadline implements [context.Context].
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements [context.Context].
func (c *attemptContext) Done() <-chan struct{} { return c.asked().Done() }

// Err implements [context.Context].
func (c *attemptContext) Err() error { return c.asked().Err() }

// Value implements [context.Context]. The standard library finds the context
// from which it derives others, and its cause, by a key that only it knows.
func (c *attemptContext) Value(key any) any {
	if key == (taskKey{}) {
		return c.task
	}
	return c.asked().Value(key)
}

// String keeps fmt from reading the fields while others write them.
func (c *attemptContext) String() string { return "orchestrator.attempt" }

type taskKey struct{}

// TaskFromContext returns the task that the handler called with ctx, or with a
// context made from it, is working; nil outside a handler.
func TaskFromContext(ctx context.Context) *Meta {
	m, _ := ctx.Value(taskKey{}).(*Meta)
	return m
}
