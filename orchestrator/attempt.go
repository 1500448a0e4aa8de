package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// attempt is the engine's side of a handler's task.
type attempt struct {
	w      *Worker
	job    *job
	logger *slog.Logger
	// completed is set once Complete has written the result in the handler's
	// own transaction.
	completed atomic.Bool
}

// The codes of errors that the engine itself makes.
const (
	CodeTimeout Code = "timeout" // the attempt ran longer than its timeout
	CodePanic   Code = "panic"   // the handler panicked
	CodeCrashed Code = "crashed" // the worker process died with it
)

// ErrTimeout is the cause of a handler's cancelled context when its attempt
// has run longer than its timeout.
var ErrTimeout = errors.New("orchestrator: attempt timed out")

// PanicError is a recovered panic of a handler.
type PanicError struct {
	Value any
	Stack []byte // of the panicking goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// work runs one claimed task and hands its outcome to the finisher.
func (w *Worker) work(j *job) {
	if !w.lease.holds(j.session) {
		return // others have it, or will
	}
	if j.TimeToLive < 0 || j.TimeToLive > 0 && time.Since(j.claimed) >= j.TimeToLive {
		w.finisher.add(outcome{job: j, finished: &store.Finished{Fence: j.fence, State: store.StateExpired, Attempts: j.Attempts}})
		return
	}
	if j.Suspect {
		if !w.begin(j) {
			return
		}
		// If it does kill processes, it will most likely have done so by then.
		timer := time.AfterFunc(w.config.HeartbeatInterval, func() { w.pool.cleared(j) })
		defer timer.Stop()
	}
	raw := &Raw{Payload: j.Payload}
	w.describe(j, &raw.Meta)
	ctx := context.WithValue(j.session.handlers, taskKey{}, &raw.Meta)
	if timeout := j.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, ErrTimeout)
		defer cancel()
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	result, err := call(ctx, j.route.handler, raw)
	w.end(ctx, raw.attempt, result, err)
}

// begin durably marks a suspect as started.
func (w *Worker) begin(j *job) bool {
	ctx, cancel := context.WithTimeout(j.session.handlers, finishTimeout)
	defer cancel()
	ok, err := w.client.store.MarkStarted(ctx, j.ID, j.fence.Worker, j.fence.Claim)
	if err != nil {
		w.logger.Warn("a task that a dead worker was running could not be started again; it is given back", "task", j.ID, "error", err)
		w.finisher.giveBack(j)
	}
	return ok && err == nil
}

func (w *Worker) describe(j *job, m *Meta) {
	*m = Meta{
		ID: TaskID(j.ID), Type: j.route.definition.Name, Queue: j.Queue, Priority: int(j.Priority),
		Attempt: int(j.Attempts) + 1, MaxAttempts: j.maxAttempts(),
		EnqueuedAt: j.EnqueuedAt, ScheduledFor: j.ScheduledFor,
		attempt: &attempt{w: w, job: j, logger: w.logger},
	}
	if len(j.Metadata) > 0 {
		// Written by Enqueue from a map[string]string.
		_ = json.Unmarshal(j.Metadata, &m.Metadata)
	}
}

func (j *job) maxAttempts() int {
	if j.MaxAttempts > 0 {
		return int(j.MaxAttempts)
	}
	return j.route.definition.Retry.maxAttempts()
}

func (j *job) timeout() time.Duration {
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

// end decides what becomes of the task.
func (w *Worker) end(ctx context.Context, a *attempt, result []byte, err error) {
	j := a.job
	if a.completed.Load() {
		if w.completedFor(j) {
			w.client.results.finished()
			return
		}
		if err == nil {
			err = errors.New("the handler completed the task in a transaction that was not committed")
		}
	}
	if err == nil {
		err = checkResult(result)
	}
	if err == nil {
		w.finisher.add(outcome{job: j, finished: &store.Finished{
			Fence: j.fence, State: store.StateSucceeded, Attempts: j.Attempts + 1, Result: string(result)}})
		return
	}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrLeaseLost):
		w.logger.Warn("handler ended after its lease was lost; its outcome is not accepted",
			"task", j.ID, "type", j.route.definition.Name, "worker", j.fence.Worker)
		return
	case errors.Is(cause, ErrShutdown):
		w.finisher.giveBack(j)
		return
	}
	w.fail(j, err, errors.Is(cause, ErrTimeout))
}

// completedFor tells whether the handler's own transaction, in which it
// completed the task, was committed.
func (w *Worker) completedFor(j *job) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.session.handlers), finishTimeout)
	defer cancel()
	done, err := w.client.store.FinishedBy(ctx, j.fence)
	if err != nil {
		// Unknown. If it was committed, a second outcome finds no row and is
		// not accepted; so trying is safe.
		w.logger.Warn("cannot tell whether the handler's transaction was committed", "task", j.ID, "error", err)
	}
	return done
}

func checkResult(result []byte) error {
	if len(result) == 0 {
		return nil
	}
	if err := checkText(result); err != nil {
		return Permanent(fmt.Errorf("result: %w", err))
	}
	return nil
}

// fail turns an error into a retry or an end.
func (w *Worker) fail(j *job, err error, timedOut bool) {
	attempt := int(j.Attempts) + 1
	v := j.route.definition.Retry.judge(attempt, j.maxAttempts(), err, timedOut)
	text := errorJSON(newAttemptError(attempt, v.code, err))
	log := w.logger.With("task", j.ID, "type", j.route.definition.Name, "queue", j.Queue, "attempt", attempt,
		"worker", j.fence.Worker, "code", string(v.code))
	o := outcome{job: j}
	switch v.state {
	case Scheduled:
		o.returned = &store.Returned{Fence: j.fence, Attempts: j.Attempts, Delay: v.delay}
	case Cancelled:
		log.Info("task cancelled by its handler", "error", err)
		o.finished = &store.Finished{Fence: j.fence, State: store.StateCancelled, Attempts: j.Attempts + 1, Error: text}
	case Dead:
		log.Error("task is dead", "error", err)
		o.buried = &store.Buried{Fence: j.fence, Attempts: j.Attempts + 1, Error: text, Code: cut(string(v.code), maxErrorCode)}
	default:
		log.Warn("attempt failed; it will be retried", "error", err, "retry_in", v.delay.Round(time.Millisecond), "max_attempts", j.maxAttempts())
		o.returned = &store.Returned{Fence: j.fence, Attempts: j.Attempts + 1, Delay: v.delay, Error: text}
	}
	w.finisher.add(o)
}

// verdict is what becomes of a task after a failed attempt.
type verdict struct {
	state State // Retrying, Scheduled (snoozed), Cancelled or Dead
	code  Code
	delay time.Duration // until the next attempt
}

// judge decides by what the handler's error says, and else by the policy.
func (p *RetryPolicy) judge(attempt, maxAttempts int, err error, timedOut bool) verdict {
	v := verdict{state: Retrying, code: codeOf(err, timedOut)}
	var d *directive
	directed := errors.As(err, &d)
	switch {
	case directed && d.kind == snooze:
		v.state, v.delay = Scheduled, max(d.delay, 0)
	case directed && d.kind == cancel:
		v.state = Cancelled
	case directed && d.kind == permanent, p.givesUpOn(v.code), attempt >= maxAttempts:
		v.state = Dead
	case directed && d.kind == retryAfter:
		v.delay = max(d.delay, 0)
	default:
		v.delay = p.Delay(attempt)
	}
	return v
}

// Judge tells what a worker makes of the error with which a handler ended
// attempt number attempt (1 for the first): the state the task is then in, and
// the error's code. A nil error is Succeeded.
func (d *Definition) Judge(attempt int, err error) (State, Code) {
	if err == nil {
		return Succeeded, ""
	}
	v := d.Retry.judge(attempt, d.Retry.maxAttempts(), err, errors.Is(err, ErrTimeout))
	return v.state, v.code
}

func codeOf(err error, timedOut bool) Code {
	var code Code
	var panicked *PanicError
	switch {
	case errors.As(err, &code):
		return code
	case errors.As(err, &panicked):
		return CodePanic
	case timedOut:
		return CodeTimeout
	}
	return ""
}

// attemptError is what is stored of a failed attempt. The database adds when.
type attemptError struct {
	Attempt int    `json:"attempt"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
}

// What is kept of an error, in bytes.
const (
	maxErrorMessage = 4 << 10
	maxErrorStack   = 16 << 10
	maxErrorCode    = 200
)

func newAttemptError(attempt int, code Code, err error) attemptError {
	e := attemptError{Attempt: attempt, Code: string(code), Message: cut(err.Error(), maxErrorMessage)}
	var panicked *PanicError
	if errors.As(err, &panicked) {
		e.Stack = cut(string(panicked.Stack), maxErrorStack)
	}
	return e
}

// cut shortens s and removes what PostgreSQL refuses: bytes that are no UTF-8,
// and NUL. An error's text must never keep its task from being finished.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + " …"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func errorJSON(e attemptError) string {
	e.Code = cut(e.Code, maxErrorCode)
	text, err := json.Marshal(e)
	if err != nil {
		return `{"message": "the error could not be encoded"}`
	}
	return string(text)
}

type taskKey struct{}

// TaskFromContext returns the task that the handler called with ctx, or with a
// context made from it, is working; nil outside a handler.
func TaskFromContext(ctx context.Context) *Meta {
	m, _ := ctx.Value(taskKey{}).(*Meta)
	return m
}

// Complete finishes the task as succeeded in the handler's own transaction, so
// that the task is done exactly when the caller's rows are there. The handler
// then commits; what it returns afterwards is ignored. If the transaction is
// not committed the attempt has failed.
//
// It returns [ErrLeaseLost], and changes nothing, when the worker does not hold
// the task any more: then roll back.
func (t *Task[P, R]) Complete(ctx context.Context, tx Tx, result R) error {
	var text []byte
	if t.Encode != nil {
		var err error
		if text, err = t.Encode(result); err != nil {
			return err
		}
	}
	return t.complete(ctx, tx, text)
}

// Complete is [Task.Complete] for an untyped handler; result is JSON or nil.
func (r *Raw) Complete(ctx context.Context, tx Tx, result []byte) error {
	return r.complete(ctx, tx, result)
}

func (m *Meta) complete(ctx context.Context, tx Tx, result []byte) error {
	a := m.attempt
	if a == nil {
		return errors.New("orchestrator: Complete on a task that no worker runs")
	}
	if err := checkResult(result); err != nil {
		return err
	}
	q, err := querierOf(tx)
	if err != nil {
		return err
	}
	done, err := a.w.client.store.CompleteIn(ctx, q, a.job.fence, string(result))
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("complete task %s: %w", m.ID, ErrLeaseLost)
	}
	a.completed.Store(true)
	return nil
}
