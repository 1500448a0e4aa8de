package orchestrator

import (
	"context"
	"math"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// RawRequest is what EnqueueRaw makes of a payload whose contract is d.
func RawRequest(d *Definition, payload []byte) (Request, error) {
	stored, err := contractOf(d)
	if err != nil {
		return Request{}, err
	}
	contract, err := newRawContract(stored)
	if err != nil {
		return Request{}, err
	}
	return contract.request(payload)
}

// DurationPattern tells durations apart in a stored schema.
const DurationPattern = durationPattern

// ListenAddr reads HTTP_ADDR.
var ListenAddr = listenAddr

// Checked is the config with its defaults.
func (c WorkerConfig) Checked() (WorkerConfig, error) { return c.withDefaults() }

// AbandonAfter sets when a worker says that a handler ignores its context.
func (w *Worker) AbandonAfter(d time.Duration) { w.abandonAfter = d }

// Policy is what overrides the policy of a task type, as the worker knows it.
func (w *Worker) Policy(taskType string) *Policy { return w.control.policy(taskType) }

// Paused tells whether the worker knows that nothing of a queue and a task type
// may start.
func (w *Worker) Paused(queue, taskType string) bool {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.pool.settings.queues[queue].Paused || w.pool.settings.types[taskType].paused
}

// EveryQueueLevel is how seldom a busy worker looks at all priorities.
var EveryQueueLevel = everyQueueLevel

// Admit looks once at the tasks of a queue that wait for their group's turn, as a
// worker does that has, or has not, tasks that are ready in the queue, and is, or
// is not, filled by what will be handed over. It returns the last one it has seen,
// and whether the others rest because of tasks that are ready. The worker must not
// run.
func (w *Worker) Admit(ctx context.Context, queue string, hasReady, filled bool) (lastSeen TaskID, putOff bool, err error) {
	if w.claimer == nil {
		if err := w.prepare(ctx); err != nil {
			return 0, false, err
		}
	}
	a, at := w.claimer.arrivals, place{queue, store.StateBlocked}
	a.rest = math.MaxInt32
	if a.places[at] == nil {
		a.look(at, store.Cursor{})
	}
	_, err = a.admit(ctx, demand{hasReady: func(string) bool { return hasReady }, filled: filled})
	return TaskID(a.places[at].ID), a.putOff, err
}

// Urgent is the highest priority of a queue that may have ready tasks, as far as
// the worker knows; -1 for none.
func (w *Worker) Urgent(queue string) int {
	if urgent := w.claimer.urgent.Load(); urgent != nil {
		if priority, ready := (*urgent)[queue]; ready {
			return int(priority)
		}
	}
	return -1
}

// Vacuum returns what a turn of the leader starts.
func (w *Worker) Vacuum() (turn func(context.Context)) { return (&vacuumer{w: w}).run }
