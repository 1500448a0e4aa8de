package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// admitGroups takes the turns that nobody has of the groups whose tasks it
// finds arriving. It walks tasks_arriving, past those that have been handed a
// turn. OFFSET keeps the planner from joining them with all groups there are.
const admitGroups = `
WITH seen AS MATERIALIZED (
    SELECT t.run_at, t.id, t.group_key FROM orchestrator.tasks t
    WHERE t.queue = $1 AND t.waits_for = 2 AND (t.waits_for IN (2, 3)) IS TRUE AND t.run_at <= now() AND (t.run_at, t.id) > ($2, $3)
      AND CASE WHEN t.state = 2 THEN true END
    ORDER BY t.queue, t.waits_for, t.run_at, t.id LIMIT $4),
won AS (
    INSERT INTO orchestrator.groups (key)
    SELECT s.group_key FROM (SELECT DISTINCT group_key FROM seen OFFSET 0) AS s
    WHERE NOT EXISTS (SELECT FROM orchestrator.groups g WHERE g.key = s.group_key OFFSET 0)
    ORDER BY s.group_key
    ON CONFLICT DO NOTHING
    RETURNING key)
SELECT coalesce(last.run_at, now()), coalesce(last.id, 0), (SELECT count(*) FROM seen), ARRAY(SELECT key FROM won), '{}'::smallint[], '{}'::smallint[]
FROM (VALUES (1)) AS one LEFT JOIN (SELECT s.run_at, s.id FROM seen s ORDER BY s.run_at DESC, s.id DESC LIMIT 1) AS last ON true`

// admitLimited takes free slots for the tasks that it finds waiting for one,
// of contracts whose limit is known.
const admitLimited = `
WITH seen AS MATERIALIZED (
    SELECT t.run_at, t.id, t.limit_key, t.contract FROM orchestrator.tasks t
    WHERE t.queue = $1 AND t.waits_for = 3 AND (t.waits_for IN (2, 3)) IS TRUE AND t.run_at <= now() AND (t.run_at, t.id) > ($2, $3)
    ORDER BY t.queue, t.waits_for, t.run_at, t.id LIMIT $4),
wanted AS (
    SELECT s.limit_key AS key, count(*) AS n, max(l.total) AS total
    FROM seen s JOIN unnest($5::integer[], $6::smallint[]) AS l(contract, total) ON l.contract = s.contract
    GROUP BY s.limit_key),
won AS (` + insertFreeSlots + `)
SELECT coalesce(last.run_at, now()), coalesce(last.id, 0), (SELECT count(*) FROM seen),
    ARRAY(SELECT key FROM won ORDER BY key, slot), ARRAY(SELECT slot FROM won ORDER BY key, slot),
    ARRAY(SELECT w.total FROM won JOIN wanted w ON w.key = won.key ORDER BY won.key, won.slot)
FROM (VALUES (1)) AS one LEFT JOIN (SELECT s.run_at, s.id FROM seen s ORDER BY s.run_at DESC, s.id DESC LIMIT 1) AS last ON true`

// insertFreeSlots takes the first slots that are free, for each key in wanted n
// of total at most.
const insertFreeSlots = `
INSERT INTO orchestrator.slots (key, slot)
SELECT w.key, free.slot FROM wanted w CROSS JOIN LATERAL (
    SELECT n::smallint AS slot FROM generate_series(1, w.total) AS n
    WHERE NOT EXISTS (SELECT FROM orchestrator.slots s WHERE s.key = w.key AND s.slot = n)
    ORDER BY n LIMIT w.n) AS free
ORDER BY w.key, free.slot
ON CONFLICT DO NOTHING
RETURNING key, slot`

// Arrivals is a place in the tasks of a queue that wait for their group's turn
// or for a slot, from which a worker looks for more.
type Arrivals struct {
	Queue  string
	Cursor Cursor
	Limit  int // look at so many at most
}

// Admitted is what became of arrivals.
type Admitted struct {
	Handed
	Seen   int    // tasks looked at
	Won    int    // turns and slots that were free
	Cursor Cursor // of the last task
}

// AdmitGroups makes the first task of each group ready, or lets it wait for a
// slot, whose turn nobody has and of which there are tasks among the arrivals.
func (s *Store) AdmitGroups(ctx context.Context, a Arrivals) (Admitted, error) {
	return s.admit(ctx, "admit tasks of groups", admitGroups, func(won []string, _, _ []int16) []Released {
		released := make([]Released, len(won))
		for i, key := range won {
			released[i].Group = key
		}
		return released
	}, a.Queue, a.Cursor.RunAt, a.Cursor.ID, a.Limit)
}

// AdmitLimited makes tasks ready that wait for a slot, as far as there are free
// ones. Totals are the limits of the contracts that the worker knows.
func (s *Store) AdmitLimited(ctx context.Context, a Arrivals, contracts []int32, totals []int16) (Admitted, error) {
	return s.admit(ctx, "admit tasks with a limit", admitLimited, func(won []string, slots, totals []int16) []Released {
		released := make([]Released, len(won))
		for i, key := range won {
			released[i] = Released{Limit: key, Slot: slots[i], Total: totals[i]}
		}
		return released
	}, a.Queue, a.Cursor.RunAt, a.Cursor.ID, a.Limit, contracts, totals)
}

func (s *Store) admit(ctx context.Context, doing, statement string, won func([]string, []int16, []int16) []Released, args ...any) (a Admitted, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var keys []string
		var slots, totals []int16
		row := tx.QueryRow(ctx, s.text(statement), append([]any{s.mode}, args...)...)
		if err := row.Scan(&a.Cursor.RunAt, &a.Cursor.ID, &a.Seen, &keys, &slots, &totals); err != nil {
			return err
		}
		a.Won = len(keys)
		a.Handed, err = s.releaseTurns(ctx, tx, won(keys, slots, totals))
		return err
	})
	return a, wrap(doing, err)
}

// arriving finds the first task of each queue that waits for a turn or a slot,
// since $2. It probes tasks_arriving.
const arriving = `
SELECT now(), coalesce(a.queue, ''), coalesce(a.state, 0::smallint), coalesce(a.run_at, now()), coalesce(a.id, 0)
FROM (VALUES (1)) AS one LEFT JOIN (
    SELECT q.queue, s.state, first.run_at, first.id
    FROM unnest($1::text[]) AS q(queue) CROSS JOIN (VALUES (2::smallint), (3::smallint)) AS s(state)
    CROSS JOIN LATERAL (
        SELECT t.run_at, t.id FROM orchestrator.tasks t
        WHERE t.queue = q.queue AND t.waits_for = s.state AND t.run_at >= $2 AND (t.waits_for IN (2, 3)) IS TRUE
          AND CASE WHEN t.state = s.state THEN true END
        ORDER BY t.queue, t.waits_for, t.run_at, t.id LIMIT 1) AS first) AS a ON true`

// ArrivalHead is the first of the arrivals of a queue.
type ArrivalHead struct {
	Queue string
	State int16 // StateBlocked or StateThrottled
	First Cursor
	DueIn time.Duration // not positive: it is due
}

// Arriving returns the first task of each of queues that waits, or will wait,
// for a turn or a slot, with a run_at since or later; and the database's time.
func (s *Store) Arriving(ctx context.Context, queues []string, since time.Time) (heads []ArrivalHead, now time.Time, err error) {
	rows, err := s.query(ctx, arriving, queues, since)
	if err != nil {
		return nil, now, wrap("look for arrivals", err)
	}
	defer rows.Close()
	for rows.Next() {
		var head ArrivalHead
		if err := rows.Scan(&now, &head.Queue, &head.State, &head.First.RunAt, &head.First.ID); err != nil {
			return nil, now, wrap("look for arrivals", err)
		}
		if head.First.ID == 0 {
			continue
		}
		head.DueIn = head.First.RunAt.Sub(now)
		heads = append(heads, head)
	}
	return heads, now, wrap("look for arrivals", rows.Err())
}
