package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// redrive puts dead letters back as they were enqueued, ready now and with all
// attempts before them. Their ttl and deadline counted from the first run_at
// and do not come back; what went wrong before stays with them. A cancel request
// that came too late for the run before is not one for the next.
// One that blocks its group has the turn still; others wait for their group's,
// the lowest id first.
const redrive = `
WITH chosen AS MATERIALIZED (
    SELECT d.id FROM orchestrator.tasks_dead d WHERE d.id = ANY ($1::bigint[]) ORDER BY d.id FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM orchestrator.tasks_dead d WHERE d.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING d.*),
unasked AS (
    DELETE FROM orchestrator.cancel_requests r WHERE r.task_id = ANY (ARRAY(SELECT id FROM chosen))),
unblocked AS (
    UPDATE orchestrator.groups g SET blocked_by = NULL FROM gone d WHERE g.key = d.group_key AND g.blocked_by = d.id RETURNING d.id)
INSERT INTO orchestrator.tasks (
    id, run_at, scheduled_for, enqueued_at, run_id, timeout_ms, contract, state, waits_for, priority, max_attempts,
    queue, sublane, step, group_key, limit_key, trace_parent, trace_state, payload, metadata, errors)
SELECT g.id, now(), g.scheduled_for, g.enqueued_at, g.run_id, g.timeout_ms, g.contract, s.state, s.state, g.priority, g.max_attempts,
    g.queue, g.sublane, g.step, g.group_key, g.limit_key, g.trace_parent, g.trace_state, g.payload, g.metadata, g.errors
FROM gone g CROSS JOIN LATERAL (SELECT CASE
        WHEN g.group_key IS NOT NULL AND g.id <> ALL (ARRAY(SELECT id FROM unblocked)) THEN 2
        WHEN g.limit_key IS NOT NULL THEN 3
        ELSE 0 END AS state) AS s
ORDER BY g.id
RETURNING id, queue, sublane, priority, state`

// Redriven is a dead letter that is back in its lane.
type Redriven struct {
	ID int64
	LaneKey
	State int16 // StateReady, StateBlocked or StateThrottled
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
		if err := rows.Scan(&one.ID, &one.Queue, &one.Sublane, &one.Priority, &one.State); err != nil {
			return nil, wrap("redrive", err)
		}
		back = append(back, one)
	}
	return back, wrap("redrive", rows.Err())
}

const purge = `
DELETE FROM orchestrator.tasks_dead d WHERE d.id = ANY (ARRAY(
    SELECT c.id FROM orchestrator.tasks_dead c WHERE c.id = ANY ($1::bigint[]) ORDER BY c.id FOR UPDATE SKIP LOCKED))
RETURNING d.id, coalesce(d.group_key, '')`

const unblock = `
UPDATE orchestrator.groups g SET blocked_by = NULL
WHERE g.key = ANY ($1::text[]) AND g.blocked_by = ANY ($2::bigint[])
RETURNING g.key`

// PurgeDead deletes dead letters and says how many it deleted. A group that one
// of them held up goes on.
func (s *Store) PurgeDead(ctx context.Context, ids []int64) (n int64, h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		n, h, err = s.deleteDead(ctx, tx, purge, ids)
		return err
	})
	return n, h, wrap("purge dead letters", err)
}

// deleteDead runs a statement that deletes dead letters and returns their ids
// and groups.
func (s *Store) deleteDead(ctx context.Context, tx pgx.Tx, statement string, args ...any) (n int64, h Handed, err error) {
	rows, err := tx.Query(ctx, s.text(statement), append([]any{s.mode}, args...)...)
	if err != nil {
		return 0, h, err
	}
	purged, err := pgx.CollectRows(rows, pgx.RowToStructByPos[purgedRow])
	if err != nil {
		return 0, h, err
	}
	var ids []int64
	var groups []string
	for _, one := range purged {
		if one.Group != "" {
			ids, groups = append(ids, one.ID), append(groups, one.Group)
		}
	}
	n = int64(len(purged))
	if len(groups) == 0 {
		return n, h, nil
	}
	if rows, err = tx.Query(ctx, s.text(unblock), s.mode, groups, ids); err != nil {
		return n, h, err
	}
	unblocked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return n, h, err
	}
	released := make([]Released, len(unblocked))
	for i, key := range unblocked {
		released[i].Group = key
	}
	h, err = s.releaseTurns(ctx, tx, released)
	return n, h, err
}

type purgedRow struct {
	ID    int64
	Group string
}
