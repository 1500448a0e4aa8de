package orchestrator

import "github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"

// State is where a task stands.
type State string

// The states of a task. Scheduled and Retrying are tasks whose run_at is still
// ahead, whatever they wait for then.
const (
	Ready     State = "ready"
	Scheduled State = "scheduled"
	Retrying  State = "retrying"
	Blocked   State = "blocked"   // waits for its group's turn
	Throttled State = "throttled" // waits for a slot of its concurrency limit
	Running   State = "running"
	Succeeded State = "succeeded"
	Dead      State = "dead"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// stateOf names the number in a state column.
func stateOf(n int16) State {
	switch n {
	case store.StateReady:
		return Ready
	case store.StateBlocked:
		return Blocked
	case store.StateThrottled:
		return Throttled
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
