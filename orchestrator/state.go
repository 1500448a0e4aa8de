package orchestrator

import "github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"

// State is where a task stands.
type State string

// The states of a task. Scheduled and Retrying are ready tasks whose run_at is
// still ahead.
const (
	Ready     State = "ready"
	Scheduled State = "scheduled"
	Retrying  State = "retrying"
	Running   State = "running"
	Succeeded State = "succeeded"
	Dead      State = "dead"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// stateOf names the number in a state column.
func stateOf(n int16) State {
	switch n {
	case store.StateReady, store.StateBlocked, store.StateThrottled:
		return Ready
	case store.StateRunning:
		return Running
	case store.StateSucceeded:
		return Succeeded
	case store.StateCancelled:
		return Cancelled
	case store.StateExpired:
		return Expired
	}
	return Dead
}
