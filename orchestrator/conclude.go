package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// conclusion is how an attempt ended: what to write, and what to tell metrics
// and traces.
type conclusion struct {
	outcome outcome
	write   bool   // false: there is nothing to write
	label   string // of telemetry
	code    Code
	err     error
}

// conclude decides what becomes of the task.
func (w *Worker) conclude(ctx context.Context, a *attempt, result []byte, err error) conclusion {
	j := a.job
	if a.completed.Load() {
		if w.completedFor(j) {
			w.client.results.finished()
			w.handedOver(*a.handed)
			j.metrics.Finished(telemetry.Succeeded)
			return conclusion{label: telemetry.Succeeded}
		}
		if err == nil {
			err = errors.New("the handler completed the task in a transaction that was not committed")
		}
	}
	if err == nil {
		err = checkResult(result)
	}
	if err == nil {
		a.succeeded = store.Finished{Fence: j.fence(), State: store.StateSucceeded, Attempts: j.Attempts + 1,
			Kept: j.route.definition.retention(), Result: string(result)}
		return conclusion{write: true, label: telemetry.Succeeded, outcome: outcome{job: j, finished: &a.succeeded}}
	}
	cause := context.Cause(ctx)
	request := w.pool.request(j)
	switch {
	case errors.Is(cause, ErrLeaseLost):
		a.log().Warn("handler ended after its lease was lost; its outcome is not accepted")
		return conclusion{label: telemetry.LeaseLost, err: cause}
	case request != nil:
		a.log().Info("task cancelled", "reason", request.Reason, "error", err)
		return conclusion{write: true, label: telemetry.Cancelled, code: CodeCancelled, err: cause, outcome: cancelledBy(request, j, j.Attempts+1)}
	case errors.Is(cause, ErrShutdown):
		a.log().Info("handler cancelled by the shutdown; its task is given back")
		return conclusion{write: true, label: telemetry.Released, err: cause, outcome: giveBack(j)}
	}
	return w.fail(ctx, a, err)
}

// completedFor tells whether the handler's own transaction, in which it
// completed the task, was committed.
func (w *Worker) completedFor(j *job) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.session.handlers), finishTimeout)
	defer cancel()
	done, err := w.client.store.FinishedBy(ctx, j.fence())
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
func (w *Worker) fail(ctx context.Context, a *attempt, err error) conclusion {
	j, number := a.job, int(a.job.Attempts)+1
	policy, maxAttempts := w.retryOf(j), w.maxAttemptsOf(j)
	v := policy.judge(number, maxAttempts, err, cutOff(context.Cause(ctx)))
	failure := newAttemptError(number, v.code, err)
	failure.Trace = w.client.tracing.Traceparent(a.span)
	text := errorJSON(failure)
	spent := j.Attempts + 1
	if v.state == Scheduled {
		spent = j.Attempts // a snooze spends none
	}
	if (v.state == Scheduled || v.state == Retrying) && j.overdueIn(v.delay) {
		v.state, v.code = Dead, CodeDeadline
	}
	log := a.log()
	if v.code != "" {
		log = log.With("code", string(v.code))
	}
	end := conclusion{write: true, code: v.code, err: err, outcome: outcome{job: j}}
	switch v.state {
	case Scheduled:
		end.label = telemetry.Snoozed
		end.outcome.returned = &store.Returned{Fence: j.fence(), Attempts: spent, Delay: v.delay, Sublane: j.sublane()}
	case Cancelled:
		log.Info("task cancelled by its handler", "error", err)
		end.label = telemetry.Cancelled
		end.outcome.finished = &store.Finished{Fence: j.fence(), State: store.StateCancelled, Attempts: spent,
			Kept: j.route.definition.retention(), Error: text}
	case Dead:
		level := slog.LevelError
		if policy.givesUpOn(v.code) {
			level = slog.LevelWarn // the spec foresees it
		}
		log.Log(ctx, level, "task is dead", "error", err)
		end.label = telemetry.Dead
		end.outcome.buried = &store.Buried{Fence: j.fence(), Attempts: spent, Error: text, Code: cut(string(v.code), maxErrorCode)}
	default:
		log.Warn("attempt failed; it will be retried", "error", err, "retry_in", v.delay.Round(time.Millisecond), "max_attempts", maxAttempts)
		end.label = telemetry.Retried
		end.outcome.returned = &store.Returned{Fence: j.fence(), Attempts: spent, Delay: v.delay, Sublane: j.sublane(), Error: text}
	}
	return end
}

// verdict is what becomes of a task after a failed attempt.
type verdict struct {
	state State // Retrying, Scheduled (snoozed), Cancelled or Dead
	code  Code
	delay time.Duration // until the next attempt
}

// judge decides by what the handler's error says, and else by the policy. cut is
// the code of what has cut the attempt off, "" for nothing.
func (p *RetryPolicy) judge(attempt, maxAttempts int, err error, cut Code) verdict {
	v := verdict{state: Retrying, code: codeOf(err, cut)}
	var d *directive
	directed := errors.As(err, &d)
	switch {
	case directed && d.kind == snooze:
		v.state, v.delay = Scheduled, max(d.delay, 0)
	case directed && d.kind == cancel:
		v.state = Cancelled
	case directed && d.kind == permanent, p.givesUpOn(v.code), attempt >= maxAttempts, cut == CodeDeadline:
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
	v := d.Retry.judge(attempt, d.Retry.maxAttempts(), err, cutOff(err))
	return v.state, v.code
}

// cutOff is the code of what has ended a handler's context.
func cutOff(cause error) Code {
	switch {
	case errors.Is(cause, ErrDeadline):
		return CodeDeadline
	case errors.Is(cause, ErrTimeout):
		return CodeTimeout
	}
	return ""
}

func codeOf(err error, cut Code) Code {
	var code Code
	var panicked *PanicError
	switch {
	case errors.As(err, &code):
		return code
	case errors.As(err, &panicked):
		return CodePanic
	}
	return cut
}

// attemptError is what is stored of a failed attempt. The database adds when.
type attemptError struct {
	Attempt int    `json:"attempt"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
	Trace   string `json:"trace,omitempty"` // traceparent of the attempt's span
}

// What is kept of an error, in bytes.
const (
	maxErrorMessage = 4 << 10
	maxErrorStack   = 16 << 10
	maxErrorCode    = 200
)

func newAttemptError(attempt int, code Code, err error) attemptError {
	e := attemptError{Attempt: attempt, Code: string(code), Message: cut(err.Error(), maxErrorMessage)}
	e.Stack = cut(string(stackOf(err)), maxErrorStack)
	return e
}

// stackOf is where a handler panicked, nil for other errors.
func stackOf(err error) []byte {
	if err == nil {
		return nil
	}
	var panicked *PanicError
	if errors.As(err, &panicked) {
		return panicked.Stack
	}
	return nil
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
