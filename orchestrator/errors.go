package orchestrator

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors to match with errors.Is.
var (
	// ErrNotFound says that a task is not in the database (any more).
	ErrNotFound = errors.New("orchestrator: task not found")
	// ErrDuplicate matches every [*DuplicateError].
	ErrDuplicate = errors.New("orchestrator: duplicate task")
	// ErrLeaseLost says that the worker no longer holds the task: its
	// completion was not accepted. It is also the cause of the handler's
	// cancelled context.
	ErrLeaseLost = errors.New("orchestrator: lease lost")
	// ErrUnknownTask says that no contract of that name is stored.
	ErrUnknownTask = errors.New("orchestrator: unknown task type")
	// ErrUnknownQueue matches every [*UnknownQueueError].
	ErrUnknownQueue = errors.New("orchestrator: unknown queue")
	// ErrPayloadTooLarge says that a payload is over [MaxPayloadSize].
	ErrPayloadTooLarge = errors.New("orchestrator: payload too large")
	// ErrCancelled is the cause of a handler's cancelled context when somebody
	// has cancelled its task; the cause's text has the reason.
	ErrCancelled = errors.New("orchestrator: task cancelled")
	// ErrShutdown is the cause of a handler's cancelled context when the
	// worker stops before the handler has ended.
	ErrShutdown = errors.New("orchestrator: worker is shutting down")
)

// MaxPayloadSize is the largest payload or result, in bytes of JSON.
const MaxPayloadSize = 1 << 20

// Violation is one broken constraint.
type Violation struct {
	Pointer string // JSON pointer (RFC 6901) to the value, "" for the whole
	Message string // "not an email address"
}

// ValidationError lists every constraint that a payload or result breaks.
type ValidationError struct {
	Subject    string // "payload" or "result"
	Violations []Violation
}

func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = strings.TrimSpace(e.Subject+" "+v.Pointer) + ": " + v.Message
	}
	return strings.Join(parts, "; ")
}

// DuplicateError says that a task with this idempotency key was enqueued
// before, within the window.
type DuplicateError struct {
	Type string
	ID   TaskID // the task that has the key
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("orchestrator: enqueue %s: duplicate of task %s", e.Type, e.ID)
}

// Is matches [ErrDuplicate].
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicate }

// TaskError says how a task ended that has no result.
type TaskError struct {
	ID      TaskID
	State   State // Dead, Cancelled or Expired
	Code    Code  // of the last error, "" for none
	Message string
	Attempt int // attempts made
}

func (e *TaskError) Error() string {
	s := fmt.Sprintf("orchestrator: task %s is %s after %d attempts", e.ID, e.State, e.Attempt)
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is matches the task's [Code].
func (e *TaskError) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code != "" && code == e.Code
}

// Code is a named error: declared in the spec (give_up_on), returned by
// handlers alone or wrapped (fmt.Errorf("smtp: %w: %w", code, err)), stored
// with the attempt, and matched by errors.Is on what [Handle.Result] returns.
type Code string

func (c Code) Error() string { return string(c) }

// Permanent ends the task as dead whatever attempts are left. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &directive{kind: permanent, err: err}
}

// RetryAfter fails the attempt and retries after d instead of the policy's
// delay, if attempts are left.
func RetryAfter(d time.Duration, err error) error {
	return &directive{kind: retryAfter, delay: d, err: err}
}

// Snooze runs the task again after d and spends no attempt.
func Snooze(d time.Duration) error { return &directive{kind: snooze, delay: d} }

// Cancel ends the task as cancelled; err says why and may be nil.
func Cancel(err error) error { return &directive{kind: cancel, err: err} }

type directiveKind int

const (
	permanent directiveKind = iota
	retryAfter
	snooze
	cancel
)

// directive is an error that tells the engine what to do with the task.
type directive struct {
	kind  directiveKind
	delay time.Duration
	err   error
}

func (d *directive) Error() string {
	if d.err != nil {
		return d.err.Error()
	}
	return [...]string{"permanent failure", "retry later", "snoozed", "cancelled"}[d.kind]
}

func (d *directive) Unwrap() error { return d.err }
