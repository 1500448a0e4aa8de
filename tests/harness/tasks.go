package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// The task types of the suites, as tasks.yaml has them. They are written by
// hand so that a fault in the generator cannot hide one in the engine.
var (
	// Echo returns its payload.
	Echo = definition("test:echo", time.Minute, nil)
	// Keyed is one task a key: a duplicate gets the first one's handle.
	Keyed = definition("test:keyed", time.Minute, &orchestrator.Idempotency{
		Key: []string{"key"}, Window: time.Hour, OnDuplicate: orchestrator.Existing})
	// KeyedOnce refuses duplicates.
	KeyedOnce = definition("test:keyed_once", time.Minute, &orchestrator.Idempotency{
		Key: []string{"key"}, Window: time.Hour, OnDuplicate: orchestrator.Reject})
	// Count adds a row to a table of the test's.
	Count = definition("test:count", 5*time.Minute, nil)
	// Limited is of a queue that runs four tasks at a time, on all workers
	// together.
	Limited = limited()
	// Grouped runs one at a time per key, in the order of numbers.
	Grouped = keyed("test:grouped", []string{"key"}, nil)
	// GroupedLimited does too, and five at a time over all keys.
	GroupedLimited = keyed("test:grouped_limited", []string{"key"}, &orchestrator.Concurrency{Total: 5})
	// LimitedType runs four at a time.
	LimitedType = keyed("test:limited_type", nil, &orchestrator.Concurrency{Total: 4})
	// LimitedByKey runs three at a time per key.
	LimitedByKey = keyed("test:limited_by_key", nil, &orchestrator.Concurrency{Total: 3, By: []string{"key"}})
)

func limited() *orchestrator.Definition {
	d := definition("test:limited", time.Minute, nil)
	d.Queue = &orchestrator.Queue{Name: "limited", PerWorker: 10, Total: 4}
	return d
}

// keyed is a type whose payload is a [Numbered].
func keyed(name string, group []string, limit *orchestrator.Concurrency) *orchestrator.Definition {
	d := definition(name, time.Minute, nil)
	d.Group, d.Concurrency = group, limit
	return d
}

// Numbered is the payload of tasks with a group or a limit.
type Numbered struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
}

// Request is an enqueue of n as a task of d.
func (n Numbered) Request(d *orchestrator.Definition, opts ...orchestrator.EnqueueOption) orchestrator.Request {
	payload, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	r := orchestrator.Request{Definition: d, Payload: payload}
	if len(d.Group) > 0 {
		r.GroupKey = fmt.Sprintf("[%q]", n.Key)
	}
	if d.Concurrency != nil && len(d.Concurrency.By) > 0 {
		r.LimitKey = fmt.Sprintf("[%q]", n.Key)
	}
	r.Apply(opts)
	return r
}

func definition(name string, timeout time.Duration, idempotency *orchestrator.Idempotency) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: name, Queue: &orchestrator.Queue{Name: "default"}, Timeout: timeout, Idempotency: idempotency,
		Retry:         orchestrator.RetryPolicy{MaxAttempts: 5, BaseDelay: 10 * time.Millisecond, MaxDelay: 100 * time.Millisecond},
		Fingerprint:   "v1:harness",
		PayloadSchema: `{"type": "object"}`,
	}
}

// Requests returns n requests whose payloads are {"number": from}, and so on.
func Requests(d *orchestrator.Definition, from, n int, opts ...orchestrator.EnqueueOption) []orchestrator.Request {
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: d, Payload: fmt.Appendf(nil, `{"number": %d}`, from+i)}
		batch[i].Apply(opts)
	}
	return batch
}

// Number reads the payload that [Requests] wrote.
func Number(t *orchestrator.Raw) int {
	var p struct {
		Number int `json:"number"`
	}
	if err := json.Unmarshal(t.Payload, &p); err != nil {
		panic(err)
	}
	return p.Number
}

// Enqueue enqueues n tasks in one batch and returns their ids.
func Enqueue(t testing.TB, e orchestrator.Enqueuer, d *orchestrator.Definition, n int, opts ...orchestrator.EnqueueOption) []orchestrator.TaskID {
	t.Helper()
	refs, err := e.Enqueue(t.Context(), Requests(d, 0, n, opts...))
	require.NoError(t, err)
	return IDs(refs)
}

// IDs are the ids of refs.
func IDs(refs []orchestrator.TaskRef) []orchestrator.TaskID {
	ids := make([]orchestrator.TaskID, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID()
	}
	return ids
}

// Returning is a handler that returns the task's payload.
func Returning(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return task.Payload, nil }

// Mux returns a mux with one handler for each of the definitions.
func Mux(f orchestrator.HandlerFunc, definitions ...*orchestrator.Definition) *orchestrator.Mux {
	mux := orchestrator.NewMux()
	for _, d := range definitions {
		mux.Handle(d, f)
	}
	return mux
}
