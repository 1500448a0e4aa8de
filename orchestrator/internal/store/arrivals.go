package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// admitGroups takes the turns that nobody has of the groups whose tasks it
// finds arriving, and returns the groups, those first whose task is the most
// urgent and has waited longest. It walks tasks_arriving, past those that have been
// handed a turn. OFFSET keeps the planner from joining them with all groups there
// are, and IS TRUE from a join of the groups with those won that is a nested loop.
const admitGroups = `
WITH seen AS MATERIALIZED (
    SELECT t.run_at, t.id, t.group_key, t.priority FROM orchestrator.tasks t
    WHERE t.queue = $1 AND t.waits_for = 2 AND (t.waits_for IN (2, 3)) IS TRUE AND t.run_at <= now() AND (t.run_at, t.id) > ($2, $3)
      AND CASE WHEN t.state = 2 THEN true END
    ORDER BY t.queue, t.waits_for, t.run_at, t.id LIMIT $4),
firsts AS MATERIALIZED (
    SELECT DISTINCT ON (s.group_key) s.* FROM (SELECT group_key, priority, row_number() OVER () AS nth FROM seen) AS s
    ORDER BY s.group_key, s.nth),
won AS (
    INSERT INTO orchestrator.groups (key)
    SELECT f.group_key FROM firsts f
    WHERE NOT EXISTS (SELECT FROM orchestrator.groups g WHERE g.key = f.group_key OFFSET 0)
    ORDER BY f.group_key
    ON CONFLICT DO NOTHING
    RETURNING key)
SELECT coalesce(last.run_at, now()), coalesce(last.id, 0), (SELECT count(*) FROM seen),
    ARRAY(SELECT f.group_key FROM firsts f WHERE (f.group_key IN (SELECT key FROM won)) IS TRUE ORDER BY f.priority DESC, f.nth), '{}'::smallint[], '{}'::smallint[]
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

// startTurns gives the turns of groups to their first tasks. Of the first $7 it
// claims those for me that are of the queue $8 and have the priority $9 at least;
// the others become ready. It comes in a statement after the one that won the turns,
// or took the tasks that had them, as release does, which is for slots too. Who is claimed has been ready for as long as it has been due: its
// turn was free.
var startTurns = `
WITH released AS MATERIALIZED (
    SELECT 0::bigint AS id, r.group_key, r.nth <= $7 AS direct, $8::text AS queue, $9::smallint AS priority
    FROM unnest($1::text[]) WITH ORDINALITY AS r(group_key, nth)),
ended AS (SELECT 0::bigint AS id WHERE false),
me AS MATERIALIZED (
    SELECT $2::bigint AS worker, $3::bigint AS claim, $4::integer AS known, $5::integer[] AS foreigners, $6::smallint = 1 AS floored),
` + strings.Replace(handOverTurns, takenColumns, claimedColumns, 1) + handedOver

// Arrivals is a place in the tasks of a queue that wait for their group's turn
// or for a slot, from which a worker looks for more.
type Arrivals struct {
	Queue  string
	Cursor Cursor
	Limit  int // look at so many at most
	// Taker takes up to Room of the tasks over whose group's turn it is, of
	// those that have a Priority at least; the zero values make all of them ready.
	Taker    Taker
	Room     int
	Priority int16
}

// Admitted is what became of arrivals.
type Admitted struct {
	Handed
	Seen   int    // tasks looked at
	Won    int    // turns and slots that were free
	Cursor Cursor // of the last task
}

// AdmitGroups gives the turn of each group that nobody has, and of which there
// are tasks among the arrivals, to the group's first task: the taker claims that,
// or it becomes ready, or waits for a slot. An error leaves open whether tasks
// were claimed, if turns were won: see [Store.Disown].
func (s *Store) AdmitGroups(ctx context.Context, a Arrivals) (Admitted, error) {
	return s.admit(ctx, "admit tasks of groups", admitGroups, func(tx pgx.Tx, won []string, _, _ []int16) (Handed, error) {
		return s.startTurns(ctx, tx, won, a)
	}, a.Queue, a.Cursor.RunAt, a.Cursor.ID, a.Limit)
}

// startTurns gives turns of groups that no task has, which tx has won among the
// arrivals or freed, to the first task of each.
func (s *Store) startTurns(ctx context.Context, tx pgx.Tx, groups []string, a Arrivals) (h Handed, err error) {
	if len(groups) == 0 {
		return h, nil
	}
	args := slices.Concat([]any{s.mode, groups}, a.Taker.args(), []any{a.Room, a.Queue, a.Priority})
	rows, err := tx.Query(ctx, s.text(startTurns), args...)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	err = h.read(rows)
	return h, err
}

// AdmitLimited makes tasks ready that wait for a slot, as far as there are free
// ones. Totals are the limits of the contracts that the worker knows.
func (s *Store) AdmitLimited(ctx context.Context, a Arrivals, contracts []int32, totals []int16) (Admitted, error) {
	return s.admit(ctx, "admit tasks with a limit", admitLimited, func(tx pgx.Tx, won []string, slots, totals []int16) (Handed, error) {
		released := make([]Released, len(won))
		for i, key := range won {
			released[i] = Released{Limit: key, Slot: slots[i], Total: totals[i]}
		}
		return s.releaseTurns(ctx, tx, released)
	}, a.Queue, a.Cursor.RunAt, a.Cursor.ID, a.Limit, contracts, totals)
}

// admit takes turns or slots by a statement and gives them to tasks in a later
// one, which sees everything that was committed before the first.
func (s *Store) admit(
	ctx context.Context, doing, statement string, give func(tx pgx.Tx, won []string, slots, totals []int16) (Handed, error), args ...any,
) (a Admitted, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var keys []string
		var slots, totals []int16
		row := tx.QueryRow(ctx, s.text(statement), append([]any{s.mode}, args...)...)
		if err := row.Scan(&a.Cursor.RunAt, &a.Cursor.ID, &a.Seen, &keys, &slots, &totals); err != nil {
			return err
		}
		a.Won = len(keys)
		a.Handed, err = give(tx, keys, slots, totals)
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
