package orchestrator

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
)

// TaskID identifies a task for ever: it stays the same through retries,
// redrives and the move into history. Ids grow in enqueue order.
type TaskID int64

// String is the decimal form the CLI and the logs use.
func (id TaskID) String() string { return strconv.FormatInt(int64(id), 10) }

// Meta is what a handler may know about the task it runs, payload aside.
type Meta struct {
	ID           TaskID
	Type         string // "email:send"
	Queue        string
	Priority     int
	Attempt      int // 1 on the first
	MaxAttempts  int
	EnqueuedAt   time.Time // database time
	ScheduledFor time.Time // the run_at it was enqueued with, database time
	Metadata     map[string]string

	attempt *attempt // nil on a literal
}

// Logger adds task id, type, queue, attempt, worker and, of a sampled trace, its
// id to every line. On a literal it is [slog.Default] without the last two.
func (m *Meta) Logger() *slog.Logger {
	if m.attempt != nil {
		return m.attempt.log()
	}
	return slog.Default().With("task", int64(m.ID), "type", m.Type, "queue", m.Queue, "attempt", m.Attempt)
}

// Task is what a typed handler receives. A test may build one as a literal.
type Task[P, R any] struct {
	Meta
	Payload P
	// Encode encodes the result for Complete; generated code sets it.
	Encode func(R) ([]byte, error)
}

// Raw is a task whose payload is still JSON: what [Handler] receives.
type Raw struct {
	Meta
	Payload json.RawMessage
}

// Handler works tasks of one type. The result is JSON, nil for none.
//
// Returning nil finishes the task. Any error fails the attempt and the retry
// policy decides; see [Permanent], [RetryAfter], [Snooze] and [Cancel] for
// errors that say more, and [Code] for named ones.
type Handler interface {
	HandleTask(ctx context.Context, task *Raw) (result []byte, err error)
}

// HandlerFunc lets a function be a [Handler].
type HandlerFunc func(ctx context.Context, task *Raw) (result []byte, err error)

// HandleTask calls f.
func (f HandlerFunc) HandleTask(ctx context.Context, task *Raw) ([]byte, error) { return f(ctx, task) }
