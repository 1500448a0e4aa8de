package orchestratortest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Recorder is an [orchestrator.Enqueuer] that keeps what is enqueued. Its zero
// value is ready; it is safe for concurrent use. It knows of no duplicates:
// every task is new.
type Recorder struct {
	// Err, if not nil, is what Enqueue returns instead of recording.
	Err error

	mu       sync.Mutex
	requests []orchestrator.Request
}

// Enqueue implements [orchestrator.Enqueuer].
func (r *Recorder) Enqueue(_ context.Context, batch []orchestrator.Request) ([]orchestrator.TaskRef, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	refs := make([]orchestrator.TaskRef, len(batch))
	for i := range batch {
		r.requests = append(r.requests, batch[i])
		refs[i] = orchestrator.NewTaskRef(orchestrator.TaskID(len(r.requests)), false, nil)
	}
	return refs, nil
}

// Requests returns everything that was enqueued, in order.
func (r *Recorder) Requests() []orchestrator.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]orchestrator.Request(nil), r.requests...)
}

// Enqueued returns the payloads of the tasks of one type that were enqueued,
// in order; none is an empty slice.
func Enqueued[P, R any](t testing.TB, r *Recorder, taskType *orchestrator.TaskType[P, R]) []P {
	t.Helper()
	payloads := []P{}
	for _, request := range r.Requests() {
		if request.Definition.Name != taskType.Definition.Name {
			continue
		}
		payload, err := taskType.DecodePayload(request.Payload)
		require.NoError(t, err)
		payloads = append(payloads, payload)
	}
	return payloads
}
