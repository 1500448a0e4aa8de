package store

import "context"

// redrive puts dead letters back as they were enqueued, ready now and with all
// attempts before them. Their ttl and deadline counted from the first run_at
// and do not come back; what went wrong before stays with them. A cancel request
// that came too late for the run before is not one for the next.
const redrive = `
WITH chosen AS MATERIALIZED (
    SELECT d.id FROM orchestrator.tasks_dead d WHERE d.id = ANY ($1::bigint[]) ORDER BY d.id FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM orchestrator.tasks_dead d WHERE d.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING d.*),
unasked AS (
    DELETE FROM orchestrator.cancel_requests r WHERE r.task_id = ANY (ARRAY(SELECT id FROM chosen)))
INSERT INTO orchestrator.tasks (
    id, run_at, scheduled_for, enqueued_at, run_id, timeout_ms, contract, priority, max_attempts,
    queue, sublane, step, group_key, limit_key, trace_parent, trace_state, payload, metadata, errors)
SELECT g.id, now(), g.scheduled_for, g.enqueued_at, g.run_id, g.timeout_ms, g.contract, g.priority, g.max_attempts,
    g.queue, g.sublane, g.step, g.group_key, g.limit_key, g.trace_parent, g.trace_state, g.payload, g.metadata, g.errors
FROM gone g ORDER BY g.id
RETURNING id, queue, sublane, priority`

// Redriven is a dead letter that is back in its lane.
type Redriven struct {
	ID int64
	LaneKey
}

// Redrive moves dead letters back into the queue. An id that is not among the
// dead letters, or that somebody else is moving, is left out of the answer.
func (s *Store) Redrive(ctx context.Context, ids []int64) ([]Redriven, error) {
	rows, err := s.query(ctx, redrive, ids)
	if err != nil {
		return nil, wrap("redrive", err)
	}
	defer rows.Close()
	var back []Redriven
	for rows.Next() {
		var one Redriven
		if err := rows.Scan(&one.ID, &one.Queue, &one.Sublane, &one.Priority); err != nil {
			return nil, wrap("redrive", err)
		}
		back = append(back, one)
	}
	return back, wrap("redrive", rows.Err())
}

const purge = `
DELETE FROM orchestrator.tasks_dead d WHERE d.id = ANY (ARRAY(
    SELECT c.id FROM orchestrator.tasks_dead c WHERE c.id = ANY ($1::bigint[]) ORDER BY c.id FOR UPDATE SKIP LOCKED))`

// PurgeDead deletes dead letters and says how many it deleted.
func (s *Store) PurgeDead(ctx context.Context, ids []int64) (int64, error) {
	n, err := s.exec(ctx, purge, ids)
	return n, wrap("purge dead letters", err)
}
