package orchestrator

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newAttemptContext is a context as the worker makes it, with what loses its session.
func newAttemptContext(t *testing.T) (*attemptContext, context.CancelCauseFunc) {
	t.Helper()
	type key struct{}
	session, lose := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	t.Cleanup(func() { lose(nil) })
	c := &attemptContext{session: session, task: &Meta{ID: 7}}
	require.True(t, c.begin(time.Time{}, nil))
	require.Equal(t, "value", c.Value(key{}))
	return c, lose
}

func TestAttemptContextIsMadeWhenItIsLookedAt(t *testing.T) {
	t.Parallel()
	c := &attemptContext{session: t.Context(), task: &Meta{ID: 7}}
	late := time.Now().Add(time.Hour)
	require.True(t, c.begin(late, ErrTimeout))
	got, ok := c.Deadline()
	require.True(t, ok)
	require.Equal(t, late, got)
	require.Same(t, c.task, TaskFromContext(context.WithoutCancel(c)))
	require.Nil(t, c.standard.Load())
	require.NoError(t, c.Err())
	require.NotNil(t, c.standard.Load())
	require.Equal(t, "orchestrator.attempt.WithoutCancel", context.WithoutCancel(c).(interface{ String() string }).String())
}

// TestAttemptContextEnds compares what a handler sees, whether it looks before
// the context ends or after.
func TestAttemptContextEnds(t *testing.T) {
	t.Parallel()
	cancelled := errors.New("somebody wants it cancelled")
	for name, c := range map[string]struct {
		deadline   time.Duration
		late       error
		end        func(c *attemptContext, lose context.CancelCauseFunc)
		err, cause error
	}{
		"timeout":  {-time.Second, ErrTimeout, func(*attemptContext, context.CancelCauseFunc) {}, context.DeadlineExceeded, ErrTimeout},
		"deadline": {-time.Second, ErrDeadline, func(*attemptContext, context.CancelCauseFunc) {}, context.DeadlineExceeded, ErrDeadline},
		"soon":     {time.Millisecond, ErrTimeout, func(*attemptContext, context.CancelCauseFunc) {}, context.DeadlineExceeded, ErrTimeout},
		"lease":    {time.Hour, ErrTimeout, func(_ *attemptContext, lose context.CancelCauseFunc) { lose(ErrLeaseLost) }, context.Canceled, ErrLeaseLost},
		"cancel":   {time.Hour, ErrTimeout, func(c *attemptContext, _ context.CancelCauseFunc) { c.cancel(cancelled) }, context.Canceled, cancelled},
		"returned": {time.Hour, ErrTimeout, func(c *attemptContext, _ context.CancelCauseFunc) { c.end() }, context.Canceled, context.Canceled},
	} {
		for _, looks := range []bool{true, false} {
			session, lose := context.WithCancelCause(t.Context())
			attempt := &attemptContext{session: session, task: &Meta{}}
			require.True(t, attempt.begin(time.Now().Add(c.deadline), c.late), name)
			var derived context.Context
			if looks {
				var release context.CancelFunc
				derived, release = context.WithCancel(attempt)
				defer release()
			}
			c.end(attempt, lose)
			if !looks {
				var release context.CancelFunc
				derived, release = context.WithTimeout(attempt, time.Hour)
				defer release()
			}
			<-attempt.Done()
			<-derived.Done()
			require.Equal(t, c.err, attempt.Err(), name)
			require.Equal(t, c.cause, context.Cause(attempt), name)
			require.Equal(t, c.err, derived.Err(), name)
			require.Equal(t, c.cause, context.Cause(derived), name)
			require.True(t, attempt.hasEnded(), name)
			lose(nil)
		}
	}
}

func TestAttemptContextCancelledBeforeItBegins(t *testing.T) {
	t.Parallel()
	c := &attemptContext{session: t.Context(), task: &Meta{}}
	require.False(t, c.hasEnded())
	c.cancel(ErrCancelled)
	require.False(t, c.begin(time.Time{}, nil))
	require.False(t, c.hasEnded())
}

func TestAttemptContextWithoutTimeoutHasNoDeadline(t *testing.T) {
	t.Parallel()
	c, lose := newAttemptContext(t)
	_, ok := c.Deadline()
	require.False(t, ok)
	require.NoError(t, c.Err())
	c.end()
	require.Equal(t, context.Canceled, c.Err())
	lose(ErrLeaseLost) // too late to be the cause
	require.Equal(t, context.Canceled, context.Cause(c))
}

func TestAttemptContextCallsAfterFuncs(t *testing.T) {
	t.Parallel()
	c, lose := newAttemptContext(t)
	called := make(chan error, 1)
	context.AfterFunc(c, func() { called <- context.Cause(c) })
	unwanted := context.AfterFunc(c, func() { called <- errors.New("stopped, and called all the same") })
	require.True(t, unwanted())
	lose(ErrLeaseLost)
	require.Equal(t, ErrLeaseLost, <-called)
	require.Empty(t, called)
}

// TestAttemptContextFromManyGoroutines is for the race detector.
func TestAttemptContextFromManyGoroutines(t *testing.T) {
	t.Parallel()
	for range 200 {
		session, lose := context.WithCancelCause(t.Context())
		c := &attemptContext{session: session, task: &Meta{}}
		var all sync.WaitGroup
		all.Go(func() { c.cancel(ErrCancelled) })
		all.Go(func() { lose(ErrLeaseLost) })
		all.Go(func() { c.hasEnded() })
		if c.begin(time.Now().Add(time.Hour), ErrTimeout) {
			all.Go(func() { <-c.Done() })
			all.Go(func() { _ = c.Err(); _ = c.Value(0) })
			all.Go(func() {
				derived, release := context.WithTimeout(c, time.Hour)
				defer release()
				<-derived.Done()
			})
			<-c.Done()
			all.Go(c.end)
		}
		all.Wait()
		lose(nil)
	}
}
