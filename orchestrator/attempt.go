package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// attempt is the engine's side of a handler's task. It is part of the job, so
// that a task costs no allocations of its own for it.
type attempt struct {
	job     *job
	context attemptContext
	task    Raw        // what the handler is given
	span    trace.Span // nil without tracing
	// completed is set once Complete has written the result in the handler's
	// own transaction.
	completed atomic.Bool
	succeeded store.Finished // what is written when the handler returns without an error
	handed    *store.Handed  // what Complete led to, once it is committed
}

// of makes a the attempt of j.
func (a *attempt) of(j *job) {
	a.job = j
	a.context.session, a.context.task = j.session.handlers, &a.task.Meta
}

// The codes of errors that the engine itself makes.
const (
	CodeTimeout  Code = "timeout"  // the attempt ran longer than its timeout
	CodeDeadline Code = "deadline" // the task's deadline left no time for another attempt
	CodePanic    Code = "panic"    // the handler panicked
	CodeCrashed  Code = "crashed"  // the worker process died with it
	// CodeCancelled is of a task that somebody cancelled, with the reason as
	// its message.
	CodeCancelled Code = "cancelled"
)

// ErrTimeout is the cause of a handler's cancelled context when its attempt
// has run longer than its timeout.
var ErrTimeout = errors.New("orchestrator: attempt timed out")

// ErrDeadline is the cause of a handler's cancelled context when the deadline
// of its task has passed, which ends all attempts.
var ErrDeadline = errors.New("orchestrator: task is past its deadline")

// PanicError is a recovered panic of a handler.
type PanicError struct {
	Value any
	Stack []byte // of the panicking goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// work runs one claimed task and hands its outcome to the finisher.
func (w *Worker) work(j *job) {
	metrics := j.metrics
	began := time.Now()
	if !w.lease.holdsAt(j.session, began) {
		// Others have it, or will: unless a heartbeat that is on its way saves
		// the lease, and then nobody else would ever give it back.
		w.finisher.giveBack(j)
		return
	}
	if j.expired() {
		metrics.Outcome(telemetry.Expired)
		(&attempt{job: j}).log().Info("task expired before a worker was free for it")
		_, span := w.client.tracing.Process(context.Background(), j.trace(j.waitedSoFar()))
		w.client.tracing.EndProcess(span, telemetry.Expired, "", nil, nil)
		w.finisher.add(outcome{job: j, finished: &store.Finished{Fence: j.fence(), State: store.StateExpired, Attempts: j.Attempts,
			Kept: j.route.definition.retention()}})
		return
	}
	if j.overdueIn(0) {
		w.endOverdue(j)
		return
	}
	if j.Suspect {
		if !w.begin(j) {
			return
		}
		began = time.Now()
		// If it does kill processes, it will most likely have done so by then.
		timer := time.AfterFunc(w.config.HeartbeatInterval, func() { w.pool.cleared(j) })
		defer timer.Stop()
	}
	waited := j.waited + began.Sub(j.claimed)
	a := &j.attempt
	if !a.context.begin(w.endOf(j, began)) {
		w.cancelUnstarted(j)
		return
	}
	defer a.context.end()
	a.describe()
	ctx := w.client.tracing.WithBaggage(&a.context, a.task.Metadata[metadataBaggage])
	ctx, a.span = w.client.tracing.Process(ctx, j.trace(waited))

	metrics.Started(waited)
	result, err := call(ctx, j.route.handler, &a.task)
	took := time.Since(began)
	metrics.Ended(took, a.traceID())

	end := w.conclude(ctx, a, result, err)
	a.logEnd(ctx, end, waited, took)
	if end.write {
		w.finisher.add(end.outcome)
	}
	metrics.Outcome(end.label)
	w.client.tracing.EndProcess(a.span, end.label, string(end.code), end.err, stackOf(end.err))
}

// endOverdue ends a task whose deadline has passed before this attempt.
func (w *Worker) endOverdue(j *job) {
	j.metrics.Outcome(telemetry.Dead)
	(&attempt{job: j}).log().Error("task is dead: its deadline passed before it was its turn", "code", string(CodeDeadline))
	_, span := w.client.tracing.Process(context.Background(), j.trace(j.waitedSoFar()))
	w.client.tracing.EndProcess(span, telemetry.Dead, string(CodeDeadline), ErrDeadline, nil)
	text := errorJSON(newAttemptError(int(j.Attempts), CodeDeadline, errOverdue))
	w.finisher.add(outcome{job: j, buried: &store.Buried{Fence: j.fence(), Attempts: j.Attempts, Error: text, Code: string(CodeDeadline)}})
}

// errOverdue is what is stored of a task that waited past its deadline. The
// leader writes the same.
var errOverdue = errors.New(store.Overdue)

// log is what every line about the attempt is written to. It is made when there
// is something to say: most attempts have nothing.
func (a *attempt) log() *slog.Logger {
	j := a.job
	log := a.job.w.logger.With("task", j.ID, "type", j.route.definition.Name, "queue", j.Queue,
		"attempt", int(j.Attempts)+1, "worker", j.session.id)
	if id := a.traceID(); id != "" {
		log = log.With("trace_id", id)
	}
	return log
}

// traceID is "" unless the attempt's trace is sampled.
func (a *attempt) traceID() string { return a.job.w.client.tracing.TraceID(a.span) }

// logEnd says how an attempt ended that went as it was meant to; conclude has
// told the others.
func (a *attempt) logEnd(ctx context.Context, end conclusion, waited, took time.Duration) {
	if !a.job.w.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	a.log().Debug("attempt ended", "outcome", end.label, "waited", waited.Round(time.Microsecond), "took", took.Round(time.Microsecond))
}

// begin durably marks a suspect as started.
func (w *Worker) begin(j *job) bool {
	ctx, cancel := context.WithTimeout(j.session.handlers, finishTimeout)
	defer cancel()
	ok, err := w.client.store.MarkStarted(ctx, j.ID, j.session.id, j.number)
	if err != nil {
		w.logger.Warn("a task that a dead worker was running could not be started again; it is given back", "task", j.ID, "error", err)
		w.finisher.giveBack(j)
	}
	return ok && err == nil
}

// describe fills in what the handler is told.
func (a *attempt) describe() {
	j := a.job
	a.task = Raw{Payload: j.Payload, Meta: Meta{
		ID: TaskID(j.ID), Type: j.route.definition.Name, Queue: j.Queue, Priority: int(j.Priority),
		Attempt: int(j.Attempts) + 1, MaxAttempts: a.job.w.maxAttemptsOf(j),
		EnqueuedAt: j.EnqueuedAt.Time(), ScheduledFor: j.ScheduledFor.Time(), attempt: a,
	}}
	if len(j.Metadata) > 0 {
		// Written by Enqueue from a map[string]string.
		_ = json.Unmarshal(j.Metadata, &a.task.Metadata)
	}
}

// trace is what the span of an attempt is told that starts after the task has
// waited, or of none because it has ended.
func (j *job) trace(waited time.Duration) telemetry.Attempt {
	return telemetry.Attempt{
		ID: j.ID, Type: j.route.definition.Name, Queue: j.Queue, Number: int(j.Attempts) + 1, Priority: int(j.Priority),
		Created: telemetry.Carrier{Parent: j.TraceParent, State: j.TraceState}, Previous: j.PreviousTrace,
		Delay: j.RunAt.Sub(j.EnqueuedAt) + waited,
	}
}

// endOf is when the context of an attempt that begins at a time ends by itself,
// zero for never, and the cause.
func (w *Worker) endOf(j *job, began time.Time) (deadline time.Time, late error) {
	if timeout := w.timeoutOf(j); timeout > 0 {
		deadline, late = began.Add(timeout), ErrTimeout
	}
	if j.TimeToDeadline != 0 {
		if last := j.claimed.Add(j.TimeToDeadline); late == nil || last.Before(deadline) {
			deadline, late = last, ErrDeadline
		}
	}
	return deadline, late
}

// expired tells whether the task's ttl is over, by the database's time of the
// claim and this process's monotonic clock since.
func (j *job) expired() bool {
	return j.TimeToLive < 0 || j.TimeToLive > 0 && time.Since(j.claimed) >= j.TimeToLive
}

// waitedSoFar is how long the task has been ready.
func (j *job) waitedSoFar() time.Duration { return j.waited + time.Since(j.claimed) }

// timeLeft is how long it is to the task's deadline, if it has one.
func (j *job) timeLeft() time.Duration { return j.TimeToDeadline - time.Since(j.claimed) }

// overdueIn tells whether the task's deadline is over in d.
func (j *job) overdueIn(d time.Duration) bool { return j.TimeToDeadline != 0 && j.timeLeft() <= d }

// sublane is where this worker looks for the task.
func (j *job) sublane() string {
	if j.route.handler == nil {
		return j.Sublane // it knows nothing of its type
	}
	return j.route.definition.sublane()
}

// maxAttemptsOf is how many attempts the task has, now.
func (w *Worker) maxAttemptsOf(j *job) int {
	if policy := w.control.policy(j.route.definition.Name); policy != nil && policy.MaxAttempts > 0 {
		return policy.MaxAttempts
	}
	if j.MaxAttempts > 0 {
		return int(j.MaxAttempts)
	}
	return j.route.definition.Retry.maxAttempts()
}

// timeoutOf is the timeout of an attempt that starts now.
func (w *Worker) timeoutOf(j *job) time.Duration {
	if policy := w.control.policy(j.route.definition.Name); policy != nil && policy.Timeout != nil {
		return *policy.Timeout
	}
	switch {
	case j.TimeoutMS > 0:
		return time.Duration(j.TimeoutMS) * time.Millisecond
	case j.TimeoutMS < 0:
		return 0
	}
	return j.route.definition.Timeout
}

// call runs a handler and turns a panic into an error.
func call(ctx context.Context, h Handler, raw *Raw) (result []byte, err error) {
	defer func() {
		if value := recover(); value != nil {
			result, err = nil, &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return h.HandleTask(ctx, raw)
}
