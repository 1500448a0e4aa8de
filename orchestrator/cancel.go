package orchestrator

import (
	"context"
	"slices"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// Cancel ends a task, and says in what state that has left it:
//
//   - [Cancelled]: it was waiting, and never starts; or it was cancelled before.
//   - [Running]: its worker has been asked. The handler's context ends within
//     about a second, with [ErrCancelled] as its cause. When the handler then
//     returns an error, whichever, the task is cancelled; when it returns
//     nil, the work was done and the task has succeeded. One that was claimed
//     and has not started ends at once, and one whose worker dies is not run again.
//   - Any other: it was too late, and nothing has changed.
//
// reason is kept as the task's last error, with [CodeCancelled]; it may be "".
// The error is [ErrNotFound] when there is no such task (any more).
func (c *Client) Cancel(ctx context.Context, id TaskID, reason string) (State, error) {
	gone, requested, h, err := c.store.CancelOne(ctx, int64(id), reasonText(reason))
	switch {
	case err != nil:
		return "", err
	case len(gone) > 0:
		c.countCancelled(gone)
		c.wakeups.tell(lanesHandedOver(h))
		return Cancelled, nil
	case requested:
		c.wakeups.changed()
		return Running, nil
	}
	info, err := c.TaskInfo(ctx, id)
	if err != nil {
		return "", err
	}
	return info.State, nil
}

// CancelCount says what [Client.CancelTasks] has done.
type CancelCount struct {
	Cancelled int `json:"cancelled"` // waited, and have ended
	Requested int `json:"requested"` // run, and their workers have been asked
}

// cancelBatch is how many tasks one transaction cancels.
const cancelBatch = 500

// CancelTasks is [Client.Cancel] for the live tasks that filter chooses, in
// batches. It returns what it has done, also beside an error. Tasks enqueued
// meanwhile may be among them or not. A filter by state goes by the state in
// which a task was found; it may have moved on.
func (c *Client) CancelTasks(ctx context.Context, filter TaskFilter, reason string) (CancelCount, error) {
	var total CancelCount
	waiting, running := filter.live()
	stored, after := filter.stored(), int64(0)
	stored.Places = []string{store.PlaceLive}
	for {
		ids, err := c.store.TaskIDsAfter(ctx, stored, after, cancelBatch)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		gone, requested, h, err := c.store.CancelBatch(ctx, ids, reasonText(reason), waiting, running)
		if err != nil {
			return total, err
		}
		c.wakeups.tell(lanesHandedOver(h))
		total.Cancelled += c.countCancelled(gone)
		if total.Requested += requested; requested > 0 {
			c.wakeups.changed()
		}
		after = ids[len(ids)-1]
	}
}

// CountLive counts the tasks that [Client.CancelTasks] would cancel.
func (c *Client) CountLive(ctx context.Context, filter TaskFilter) (int, error) {
	stored := filter.stored()
	stored.Places = []string{store.PlaceLive}
	return c.store.CountTasks(ctx, stored)
}

// live tells whether the filter lets waiting and running tasks through.
func (f TaskFilter) live() (waiting, running bool) {
	if f.States == nil {
		return true, true
	}
	for _, s := range f.States {
		waiting = waiting || s != Running && placeOf(s) == store.PlaceLive
	}
	return waiting, slices.Contains(f.States, Running)
}

func reasonText(reason string) string {
	if reason == "" {
		return "cancelled on request"
	}
	return cut(reason, maxErrorMessage)
}

func (c *Client) countCancelled(gone []store.Moved) (n int) {
	for _, m := range gone {
		c.metrics.Ended(m.Type, m.Queue, telemetry.Cancelled, m.N)
		n += m.N
	}
	if n > 0 {
		c.results.finished()
	}
	return n
}
