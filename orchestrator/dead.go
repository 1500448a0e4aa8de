package orchestrator

import (
	"context"
	"iter"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// DeadFilter chooses dead letters. The zero value chooses all of them. A nil
// slice leaves its field open; one that is empty but not nil chooses nothing.
type DeadFilter struct {
	IDs        []TaskID
	Types      []string
	Queues     []string
	Codes      []Code    // of the last error
	DiedSince  time.Time // inclusive
	DiedBefore time.Time
}

func (f DeadFilter) stored() store.TaskFilter {
	return TaskFilter{
		States: []State{Dead}, IDs: f.IDs, Types: f.Types, Queues: f.Queues, Codes: f.Codes,
		FinishedSince: f.DiedSince, FinishedBefore: f.DiedBefore,
	}.stored()
}

// DeadTasks goes through the dead letters that filter chooses, those that died
// last first. Rows are read in pages while the loop runs; the first error ends
// it.
func (c *Client) DeadTasks(ctx context.Context, filter DeadFilter) iter.Seq2[TaskInfo, error] {
	return func(yield func(TaskInfo, error) bool) {
		stored := filter.stored()
		var diedAt time.Time
		var id int64
		for {
			rows, err := c.store.DeadBefore(ctx, stored, diedAt, id, inspectPage)
			if !c.yieldTasks(ctx, rows, err, yield) || len(rows) < inspectPage {
				return
			}
			last := rows[len(rows)-1]
			diedAt, id = last.FinishedAt, last.ID
		}
	}
}

// CountDead counts the dead letters that filter chooses.
func (c *Client) CountDead(ctx context.Context, filter DeadFilter) (int, error) {
	return c.store.CountTasks(ctx, filter.stored())
}

// deadBatch is how many dead letters one transaction moves or deletes.
const deadBatch = 500

// Redrive puts the dead letters that filter chooses back into their queues, in
// enqueue order, and tells workers. It returns how many, also beside an error,
// which leaves the rest dead. Each keeps its id, payload, idempotency key, priority
// and errors, runs as soon as a worker is free, and has all its attempts
// before it. A ttl does not come back: it counted from the first run_at.
//
// A task that dies again meanwhile is not redriven twice.
func (c *Client) Redrive(ctx context.Context, filter DeadFilter) (int, error) {
	total := 0
	err := c.eachDeadBatch(ctx, filter, func(ids []int64) error {
		back, err := c.store.Redrive(ctx, ids)
		if err != nil {
			return err
		}
		total += len(back)
		lanes := map[lane]struct{}{}
		for _, one := range back {
			if one.State == store.StateReady {
				lanes[lane(one.LaneKey)] = struct{}{}
			} else {
				lanes[arrivingIn(one.Queue)] = struct{}{}
			}
		}
		c.wakeups.tell(lanes)
		return nil
	})
	return total, err
}

// PurgeDead deletes the dead letters that filter chooses, for good, and
// returns how many, also beside an error. Their
// idempotency keys stay taken until their windows end.
func (c *Client) PurgeDead(ctx context.Context, filter DeadFilter) (int, error) {
	total := 0
	err := c.eachDeadBatch(ctx, filter, func(ids []int64) error {
		n, h, err := c.store.PurgeDead(ctx, ids)
		total += int(n)
		c.wakeups.tell(lanesHandedOver(h))
		return err
	})
	return total, err
}

// eachDeadBatch walks ids upwards, so each is visited once whatever comes back.
func (c *Client) eachDeadBatch(ctx context.Context, filter DeadFilter, do func(ids []int64) error) error {
	stored, after := filter.stored(), int64(0)
	for {
		ids, err := c.store.TaskIDsAfter(ctx, stored, after, deadBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := do(ids); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}
