package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A task of a group waits until it is the group's turn, in state 2; one with a
// limit until it has a slot, in state 3. The rows of the tables groups and slots
// are there exactly while a task of tasks has the turn or the slot:
//
//	enqueued ──► blocked (2) ──► throttled (3) ──► ready (0) ──► running (1) ──► ended
//	               │   arrival:      │  arrival:                     │
//	               │   turn is free  │  slot is free                 │
//	               └───────◄─────────┴──◄── hand-over at the end ◄───┘
//
// Arrivals are looked for by workers: a turn or slot that nobody has is taken
// by inserting its row, which only one can do, and in a later statement, which
// sees everything that was committed before, given to whoever is next. Whoever
// ends a task hands its turn and its slot over in the same statement; it is the
// only one who may, because it has deleted the task. When nobody is next, the
// row goes. A task that arrives at that very moment may miss it, and is found
// when the arrivals are looked at again.
//
// Locks are taken in this order: groups and slots, then tasks.

// handOver completes a statement that ends tasks. It needs two other parts of
// the same WITH clause: released, with one row for each turn and slot that is
// free now, and me, with the worker that may take the next tasks at once:
//
//	released (id, group_key, limit_key, limit_slot, total, direct, queue, priority)
//	me       (worker, claim, known, foreigners, floored)
//
// The next of a group is its lowest id. With floored it is the lowest above the
// one that has just ended, where there is one: the entries of the ended tasks
// below stay in the index for as long as a long transaction somewhere keeps
// PostgreSQL from removing them.
//
// The next task is claimed for me when released.direct says that there is room
// for it; else it becomes ready, with a run_at ahead of all cursors. One that
// somebody has locked is left alone, and its turn is reported as unsettled.
//
// A task that is claimed here must not come into tasks_ready: it would be ahead
// of cursors. So one with a slot gets a run_at that is its claimed_at. One of a
// group alone keeps its place among those that wait, and PostgreSQL updates the
// heap alone, as for a claim: the negative number of the claim tells. Whoever
// looks for tasks that wait for a turn must ask for their state too, and for one
// that has the turn also among those that seem to wait.
//
// It uses tasks_grouped, tasks_limited and the primary keys.
//
// Most turns are of groups alone. Then handOverTurns does it: the parts of a
// statement that have nothing to do take their time all the same. So does
// handOverTurnsAtOnce, for a statement that has a lock_timeout: it waits for who
// has a next task locked, and so can lock each as it finds it. What it has locked
// it changes by its place, without an index; without the lock, not every
// PostgreSQL would see that another version has come. A version that came after
// the statement's snapshot is not found, and its turn reported as unsettled.
// Instead of released it takes the ended tasks themselves, in gone, with direct.
const (
	handOver = nextOfGroups + `,
freed AS MATERIALIZED (
    SELECT r.limit_key, r.limit_slot, r.direct, r.queue, r.priority,
        row_number() OVER (PARTITION BY r.limit_key ORDER BY r.limit_slot) AS nth
    FROM released r WHERE r.limit_slot <= r.total),
takers AS MATERIALIZED (
    SELECT f.limit_key, f.limit_slot, n.id, n.takeable AND f.direct AND n.queue = f.queue AND n.priority >= f.priority AS direct
    FROM (SELECT limit_key, count(*) AS n FROM freed GROUP BY limit_key) AS k CROSS JOIN me
    CROSS JOIN LATERAL (
        SELECT q.*, row_number() OVER () AS nth FROM (
            SELECT w.id, w.queue, w.priority, ` + takeable + ` AS takeable FROM orchestrator.tasks w
            WHERE w.limit_key = k.limit_key AND w.waits_for = 3 AND w.run_at <= now()
            ORDER BY w.limit_key, w.priority DESC, w.run_at, w.id LIMIT k.n FOR UPDATE SKIP LOCKED) AS q) AS n
    JOIN freed f ON f.limit_key = k.limit_key AND f.nth = n.nth),
taken AS (` + takeNext + `, limit_slot = ` + slotOfTaker + `,
        run_at = CASE WHEN t.limit_key IS NULL THEN t.run_at ELSE now() END
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled WHERE direct UNION ALL SELECT id FROM takers WHERE direct))
    RETURNING ` + takenColumns + `),
promoted AS (
    UPDATE orchestrator.tasks t
    SET state = CASE WHEN t.limit_key IS NULL OR t.id = ANY (ARRAY(SELECT id FROM takers)) THEN 0 ELSE 3 END,
        run_at = now(), limit_slot = ` + slotOfTaker + `
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled WHERE NOT direct UNION ALL SELECT id FROM takers WHERE NOT direct))
    RETURNING ` + promotedColumns + `),
` + turnsOver + `,
slots_over AS (
    DELETE FROM orchestrator.slots s USING released r
    WHERE s.key = r.limit_key AND s.slot = r.limit_slot
      AND NOT EXISTS (SELECT FROM takers k WHERE k.limit_key = r.limit_key AND k.limit_slot = r.limit_slot)),
unsettled AS (
    ` + unsettledTurns + `
    UNION ALL
    SELECT k.limit_key, false FROM (SELECT limit_key, count(*) AS n FROM freed GROUP BY limit_key) AS k
    WHERE (SELECT count(*) FROM takers WHERE takers.limit_key = k.limit_key) < (
        SELECT count(*) FROM (
            SELECT FROM orchestrator.tasks w WHERE w.limit_key = k.limit_key AND w.waits_for = 3 AND w.run_at <= now()
            ORDER BY w.limit_key, w.priority DESC, w.run_at, w.id LIMIT k.n) AS waiting))`

	handOverTurns = nextOfGroups + `,
taken AS (` + takeNext + `
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled WHERE direct))
    RETURNING ` + takenColumns + `),
promoted AS (` + promoteNext + `
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled WHERE NOT direct))
    RETURNING ` + promotedColumns + `),
` + turnsOver + `,
unsettled AS (` + unsettledTurns + `)`

	handOverTurnsAtOnce = `
settled AS MATERIALIZED (
    SELECT r.group_key, coalesce(above.id, lowest.id) AS head, coalesce(above.version, lowest.version) AS version,
        coalesce(above.direct, lowest.direct) AS direct
    FROM gone r CROSS JOIN me
    LEFT JOIN LATERAL (` + headAbove + ` FOR UPDATE) AS above ON true
    LEFT JOIN LATERAL (` + headLowest + ` FOR UPDATE) AS lowest ON true
    WHERE r.group_key IS NOT NULL),
taken AS (` + takeNext + `
    WHERE t.ctid = ANY (ARRAY(SELECT version FROM settled WHERE direct))
    RETURNING ` + takenColumns + `),
promoted AS (` + promoteNext + `
    WHERE t.ctid = ANY (ARRAY(SELECT version FROM settled WHERE NOT direct))
    RETURNING ` + promotedColumns + `),
` + turnsOver + `,
unsettled AS (
    SELECT group_key AS key, true AS is_group FROM settled
    WHERE head IS NOT NULL AND head NOT IN (SELECT id FROM taken UNION ALL SELECT id FROM promoted))`
)

// The parts of handing over that are always needed.
const (
	nextOfGroups = `
heads AS MATERIALIZED (
    SELECT r.group_key, r.direct, r.queue, r.priority, coalesce(above.id, lowest.id) AS id
    FROM released r CROSS JOIN me
    LEFT JOIN LATERAL (` + headAbove + `) AS above ON true
    LEFT JOIN LATERAL (` + headLowest + `) AS lowest ON true
    WHERE r.group_key IS NOT NULL),
settled AS MATERIALIZED (
    SELECT h.group_key, h.id AS head, n.id, n.limit_key IS NULL AND n.takeable AND h.direct AND n.queue = h.queue AND n.priority >= h.priority AS direct
    FROM heads h CROSS JOIN me
    LEFT JOIN LATERAL (
        SELECT t.id, t.limit_key, t.queue, t.priority, ` + takeable + ` AS takeable FROM orchestrator.tasks t
        WHERE t.id = h.id AND t.state = 2 AND t.group_key = h.group_key ORDER BY t.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS n ON true)`

	// headAbove and headLowest find the next task of the group of r.
	headAbove = head + `
        WHERE me.floored AND ` + waitsAfter + ` (r.group_key, 2::smallint, r.id)
        ORDER BY w.group_key, w.waits_for, w.id LIMIT 1`
	headLowest = head + `
        WHERE above.id IS NULL AND ` + waitsAfter + ` (r.group_key, 2::smallint, 0)
        ORDER BY w.group_key, w.waits_for, w.id LIMIT 1`
	head = `
        SELECT w.id, w.ctid AS version, w.limit_key IS NULL AND ` + takeable + ` AND r.direct AND w.queue = r.queue AND w.priority >= r.priority AS direct
        FROM orchestrator.tasks w`

	takeNext = `
    UPDATE orchestrator.tasks t
    SET state = 1, worker_id = (SELECT worker FROM me), claim = (SELECT claim FROM me), claimed_at = now(), started_at = NULL`

	// promoteNext is for tasks that have no slot yet.
	promoteNext = `
    UPDATE orchestrator.tasks t
    SET state = CASE WHEN t.limit_key IS NULL THEN 0 ELSE 3 END, run_at = now()`

	promotedColumns = `t.id, t.queue, t.sublane, t.priority, t.state`

	turnsOver = `turns_over AS (
    DELETE FROM orchestrator.groups g WHERE g.key = ANY (ARRAY(SELECT group_key FROM settled WHERE head IS NULL)))`

	unsettledTurns = `SELECT group_key AS key, true AS is_group FROM settled WHERE head IS NOT NULL AND id IS NULL`
)

// waitsAfter is true of a task w that waits for its group's turn and comes after
// a place in tasks_grouped, which follows. An equality of group_key would make
// the order that of ids alone, and the planner walk the primary key, past the
// tasks of all other groups. CASE hides the state from it, as in [claim].
const waitsAfter = `w.group_key <= r.group_key AND w.waits_for = 2 AND CASE WHEN w.state = 2 THEN w.run_at <= now() END
          AND (w.group_key, w.waits_for, w.id) >`

// takeable tells whether a worker may run a task without asking further: it
// knows the contract, the type has no lane of its own with a rate limit, and the
// task is not suspected of killing processes.
const takeable = `(sublane = '' AND NOT suspect AND contract <= me.known AND contract <> ALL (me.foreigners))`

// slotOfTaker is the slot that a task of takers gets. It goes by position in
// two arrays because UPDATE has no join that the planner could not make a
// nested loop of.
const slotOfTaker = `(ARRAY(SELECT limit_slot FROM takers ORDER BY id))[array_position(ARRAY(SELECT id FROM takers ORDER BY id), t.id)]`

// nobody is me for a statement whose next tasks only become ready.
const nobody = `me AS MATERIALIZED (SELECT NULL::bigint AS worker, NULL::bigint AS claim, 0 AS known, '{}'::integer[] AS foreigners, false AS floored)`

// What a row of handedOver stands for.
const (
	kindTaken    int16 = iota // a task that me has claimed
	kindEnded                 // the tasks that the statement has ended: one row, which is always there
	kindPromoted              // a task that is ready now
	kindArriving              // a task that waits for a slot now
	kindTurn                  // a group whose next task could not be told
	kindSlot                  // a limit whose next tasks could not be told
)

// handedOver is the end of a statement with handOver whose ended rows are in a
// part of the WITH clause named ended. Their ids are text because a caller's
// transaction may be of a driver that does not know arrays.
const handedOver = `
SELECT ` + claimedValues + `, c.kind, c.key
FROM (
    SELECT k.*, 0::smallint AS kind, '' AS key FROM taken k
    UNION ALL
    SELECT 0, ` + noClaimedColumns + `, 1::smallint, array_to_string(ARRAY(SELECT e.id FROM ended e), ' ')
    UNION ALL
    SELECT p.id, NULL, NULL, NULL, NULL, NULL, NULL, p.queue, p.sublane, p.priority, ` + noClaimedAttempts + `, 2 + (p.state <> 0)::int, '' FROM promoted p
    UNION ALL
    SELECT 0, ` + noClaimedColumns + `, CASE WHEN u.is_group THEN 4 ELSE 5 END, u.key FROM unsettled u) AS c`

const (
	noClaimedColumns  = `NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ` + noClaimedAttempts
	noClaimedAttempts = `NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL`
)

// Taker is the worker that may take over what comes next. Its zero value is
// nobody: what is next becomes ready.
type Taker struct {
	Worker  int64
	Claim   int64 // used for this alone, and negative: see [handOver]; 0 for nobody
	Known   int32
	Foreign []int32
	// Floored looks for a group's next task above the one that has ended.
	Floored bool
}

func (t Taker) args() []any {
	foreign, floored := t.Foreign, int16(0)
	if foreign == nil {
		foreign = []int32{}
	}
	if t.Floored {
		floored = 1
	}
	return []any{t.Worker, t.Claim, t.Known, foreign, floored}
}

// Turn says what a worker makes of the turn and the slot of a task that it ends.
type Turn struct {
	// Direct: the taker has room for the next task, if that is of the same
	// queue and as urgent.
	Direct bool
	Slot   bool  // there may be a slot
	Total  int16 // the limit on slots as the worker knows it
}

// Handed is what the end of tasks has led to.
type Handed struct {
	Ended    []int64    // tasks whose fence held
	Taken    []*Claimed // next tasks, claimed by the taker
	Now      time.Time  // the database's
	Ready    []LaneKey  // lanes that have new tasks
	Arriving []string   // queues in which tasks wait for slots
	// Groups and Limits are keys whose next task was locked by somebody: see
	// [Store.Settle].
	Groups, Limits []string
}

func (h *Handed) add(more Handed) {
	h.Ready, h.Arriving = append(h.Ready, more.Ready...), append(h.Arriving, more.Arriving...)
	h.Groups, h.Limits = append(h.Groups, more.Groups...), append(h.Limits, more.Limits...)
}

func (h *Handed) read(rows Rows) error {
	var (
		kind  int16
		key   string
		t     = newClaimedRow(&kind, &key)
		taken claimedList
	)
	for rows.Next() {
		if err := t.scan(rows); err != nil {
			return err
		}
		switch kind {
		case kindTaken:
			taken.add(t.Claimed)
		case kindEnded:
			for text := range strings.FieldsSeq(key) {
				id, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return err
				}
				h.Ended = append(h.Ended, id)
			}
		case kindPromoted:
			h.Ready = append(h.Ready, t.LaneKey)
		case kindArriving:
			h.Arriving = append(h.Arriving, t.Queue)
		case kindTurn:
			h.Groups = append(h.Groups, key)
		case kindSlot:
			h.Limits = append(h.Limits, key)
		}
	}
	h.Taken, h.Now = taken.tasks, t.now
	return rows.Err()
}

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
    SELECT s.limit_key, count(*) AS n, max(l.total) AS total
    FROM seen s JOIN unnest($5::integer[], $6::smallint[]) AS l(contract, total) ON l.contract = s.contract
    GROUP BY s.limit_key),
won AS (
    INSERT INTO orchestrator.slots (key, slot)
    SELECT w.limit_key, free.slot FROM wanted w CROSS JOIN LATERAL (
        SELECT n::smallint AS slot FROM generate_series(1, w.total) AS n
        WHERE NOT EXISTS (SELECT FROM orchestrator.slots s WHERE s.key = w.limit_key AND s.slot = n)
        ORDER BY n LIMIT w.n) AS free
    ORDER BY w.limit_key, free.slot
    ON CONFLICT DO NOTHING
    RETURNING key, slot)
SELECT coalesce(last.run_at, now()), coalesce(last.id, 0), (SELECT count(*) FROM seen),
    ARRAY(SELECT key FROM won ORDER BY key, slot), ARRAY(SELECT slot FROM won ORDER BY key, slot),
    ARRAY(SELECT w.total FROM won JOIN wanted w ON w.limit_key = won.key ORDER BY won.key, won.slot)
FROM (VALUES (1)) AS one LEFT JOIN (SELECT s.run_at, s.id FROM seen s ORDER BY s.run_at DESC, s.id DESC LIMIT 1) AS last ON true`

// release hands over turns and slots that have no task any more. It comes in a
// statement after the one that took the task or won the turn, and sees what was
// committed in between.
const (
	release          = releasedHere + releasedToNobody + handOver + handedOver
	releaseTurnsOnly = releasedHere + releasedToNobody + handOverTurns + handedOver // without slots

	releasedHere = releasedOf + `
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[]) AS r(group_key, limit_key, slot, total)),
`
)

// releaseJSON is release with one argument, for a transaction of the caller's.
const releaseJSON = releasedOf + `
    FROM json_to_recordset($1::json) AS r(group_key text, limit_key text, slot smallint, total smallint)),
` + releasedToNobody + handOver + handedOver

const (
	releasedOf = `
WITH released AS MATERIALIZED (
    SELECT 0::bigint AS id, nullif(r.group_key, '') AS group_key, nullif(r.limit_key, '') AS limit_key,
        CASE WHEN r.limit_key <> '' THEN r.slot END AS limit_slot, CASE WHEN r.total = 0 THEN r.slot ELSE r.total END AS total,
        false AS direct, ''::text AS queue, 0::smallint AS priority`
	releasedToNobody = `
ended AS (SELECT 0::bigint AS id WHERE false),
` + nobody + `,`
)

// Released is the turn and the slot that a task had which is not there any more.
type Released struct {
	Group string `json:"group_key"` // "": it had none
	Limit string `json:"limit_key"`
	Slot  int16  `json:"slot"`
	Total int16  `json:"total"` // the limit on slots; 0: whatever it is, the slot is within it
}

// releaseTurns hands over the turns and slots of tasks that tx has ended.
func (s *Store) releaseTurns(ctx context.Context, tx pgx.Tx, released []Released) (h Handed, err error) {
	if len(released) == 0 {
		return h, nil
	}
	n := len(released)
	groups, limits, slots, totals := make([]string, n), make([]string, n), make([]int16, n), make([]int16, n)
	for i, r := range released {
		groups[i], limits[i], slots[i], totals[i] = r.Group, r.Limit, r.Slot, r.Total
	}
	statement := releaseTurnsOnly
	if slices.ContainsFunc(released, func(r Released) bool { return r.Limit != "" }) {
		statement = release
	}
	rows, err := tx.Query(ctx, s.text(statement), s.mode, groups, limits, slots, totals)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	return h, h.read(rows)
}

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
	Cursor Cursor // of the last one
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

// lockTurns locks the turns of groups, so that of two who settle one the second
// sees what the first has done.
const lockTurns = `
SELECT g.key FROM orchestrator.groups g WHERE g.key = ANY ($1::text[]) AND g.blocked_by IS NULL ORDER BY g.key FOR UPDATE`

const turnsWithoutTask = `
SELECT g.key FROM unnest($1::text[]) AS g(key) WHERE ` + nobodyHasTurn

// nobodyHasTurn is true of a group g. Who was handed the turn is mostly the
// first of those that seem to wait.
const nobodyHasTurn = `
    NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.group_key = g.key AND t.waits_for IN (0, 1, 3))
    AND NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.group_key = g.key AND t.waits_for = 2 AND t.state = 1)`

// takeSlots takes what is free of limits for which tasks wait.
const takeSlots = `
WITH wanted AS MATERIALIZED (
    SELECT l.key, l.total, (SELECT count(*) FROM (
        SELECT FROM orchestrator.tasks w WHERE w.limit_key = l.key AND w.waits_for = 3 AND w.run_at <= now()
        ORDER BY w.limit_key, w.priority DESC, w.run_at, w.id LIMIT l.total) AS waiting) AS n
    FROM unnest($1::text[], $2::smallint[]) AS l(key, total))
INSERT INTO orchestrator.slots (key, slot)
SELECT w.key, free.slot FROM wanted w CROSS JOIN LATERAL (
    SELECT n::smallint AS slot FROM generate_series(1, w.total) AS n
    WHERE NOT EXISTS (SELECT FROM orchestrator.slots s WHERE s.key = w.key AND s.slot = n)
    ORDER BY n LIMIT w.n) AS free
ORDER BY w.key, free.slot
ON CONFLICT DO NOTHING
RETURNING key, slot`

// Settle gives turns that no task has to whoever is next, and free slots to
// tasks that wait for them: what the end of a task could not settle, because
// somebody had the next task locked. Totals are the limits, in the order of
// limits.
func (s *Store) Settle(ctx context.Context, groups, limits []string, totals []int16) (h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var released []Released
		for _, statement := range []string{lockTurns, turnsWithoutTask} {
			if len(groups) == 0 {
				break
			}
			rows, err := tx.Query(ctx, s.text(statement), s.mode, groups)
			if err != nil {
				return err
			}
			if groups, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				return err
			}
		}
		for _, key := range groups {
			released = append(released, Released{Group: key})
		}
		if len(limits) > 0 {
			rows, err := tx.Query(ctx, s.text(takeSlots), s.mode, limits, totals)
			if err != nil {
				return err
			}
			taken, err := pgx.CollectRows(rows, pgx.RowToStructByPos[slot])
			if err != nil {
				return err
			}
			for _, one := range taken {
				released = append(released, Released{Limit: one.Key, Slot: one.Slot})
			}
		}
		h, err = s.releaseTurns(ctx, tx, released)
		return err
	})
	return h, wrap("settle turns", err)
}

type slot struct {
	Key  string
	Slot int16
}

const strayTurns = `
SELECT g.key FROM orchestrator.groups g
WHERE g.blocked_by IS NULL AND ` + nobodyHasTurn + `
LIMIT $1`

const straySlots = `
DELETE FROM orchestrator.slots s
WHERE NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.limit_key = s.key AND t.limit_slot = s.slot)
RETURNING s.key, coalesce((
    SELECT t.contract FROM orchestrator.tasks t WHERE t.limit_key = s.key AND t.waits_for = 3
    ORDER BY t.limit_key, t.priority DESC, t.run_at, t.id LIMIT 1), 0)`

// SettleStray looks for turns and slots that no task has, at most limit of
// each kind, and settles them. The engine leaves none behind, except when a
// worker dies before it has settled one; people who delete rows by hand do.
// Total is the limit of a contract, 0 when it has none.
func (s *Store) SettleStray(ctx context.Context, l Leadership, limit int, total func(contract int32) int16) (h Handed, stray int, err error) {
	var groups, limits []string
	var totals []int16
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		rows, err := tx.Query(ctx, s.text(strayTurns), limit)
		if err != nil {
			return err
		}
		if groups, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, s.text(straySlots))
		if err != nil {
			return err
		}
		freed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[straySlot])
		if err != nil {
			return err
		}
		for _, one := range freed {
			stray++
			if n := total(one.Contract); one.Contract != 0 && n > 0 {
				limits, totals = append(limits, one.Key), append(totals, n)
			}
		}
		return nil
	})
	stray += len(groups)
	if err != nil || stray == 0 {
		return h, stray, wrap("look for stray turns", err)
	}
	h, err = s.Settle(ctx, groups, limits, totals)
	return h, stray, err
}

type straySlot struct {
	Key      string
	Contract int32
}
