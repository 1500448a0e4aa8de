package orchestratortest

import (
	"context"
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// HandlerFunc is the method of a generated handler interface, with a result or
// without.
type HandlerFunc[P, R any] interface {
	func(context.Context, *orchestrator.Task[P, R]) (R, error) | func(context.Context, *orchestrator.Task[P, R]) error
}

// Outcome is what a worker would make of one attempt.
type Outcome[R any] struct {
	Result R
	// Err is what the handler returned, or what its panic became (an
	// [*orchestrator.PanicError]).
	Err error
	// State is where the task would stand: Succeeded, Retrying, Scheduled
	// (snoozed), Cancelled or Dead.
	State orchestrator.State
	// Code is the error's code, "" for none.
	Code orchestrator.Code
}

// Run calls a handler once, for the first attempt, as a worker would but
// without a database: the payload is validated, encoded and decoded on its way
// in, the result on its way out, and the error is judged by the task's policy.
// A payload that breaks its constraints fails the test.
func Run[P, R any, H HandlerFunc[P, R]](t testing.TB, taskType *orchestrator.TaskType[P, R], handler H, payload P) Outcome[R] {
	t.Helper()
	data, err := taskType.EncodePayload(payload)
	require.NoError(t, err, "payload of %s", taskType.Definition.Name)
	decoded, err := taskType.DecodePayload(data)
	require.NoError(t, err, "payload of %s", taskType.Definition.Name)

	task := &orchestrator.Task[P, R]{Payload: decoded, Encode: taskType.EncodeResult}
	task.ID, task.Type, task.Attempt, task.MaxAttempts = 1, taskType.Definition.Name, 1, taskType.Definition.Retry.MaxAttempts
	task.Queue, task.Priority = orchestrator.DefaultQueue, taskType.Definition.Priority
	if taskType.Definition.Queue != nil {
		task.Queue = taskType.Definition.Queue.Name
	}
	result, err := call(t.Context(), handler, task)
	if err == nil {
		result, err = roundTrip(taskType, result)
	}
	state, code := taskType.Definition.Judge(1, err)
	return Outcome[R]{Result: result, Err: err, State: state, Code: code}
}

// roundTrip encodes and decodes a result; a task without one has no encoder.
func roundTrip[P, R any](taskType *orchestrator.TaskType[P, R], result R) (R, error) {
	if taskType.EncodeResult == nil || taskType.DecodeResult == nil {
		return result, nil
	}
	data, err := taskType.EncodeResult(result)
	if err != nil {
		return result, fmt.Errorf("result of %s: %w", taskType.Definition.Name, err)
	}
	if len(data) == 0 {
		return result, nil
	}
	return taskType.DecodeResult(data)
}

func call[P, R any, H HandlerFunc[P, R]](ctx context.Context, handler H, task *orchestrator.Task[P, R]) (result R, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &orchestrator.PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	if h, ok := any(handler).(func(context.Context, *orchestrator.Task[P, R]) (R, error)); ok {
		return h(ctx, task)
	}
	return result, any(handler).(func(context.Context, *orchestrator.Task[P, R]) error)(ctx, task)
}
