package store

import (
	"strconv"
	"strings"
	"time"
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
// Where nothing else is ready, an arrival whose turn is free is claimed at once.
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
// of cursors. So waits_for of one with a slot says that it is nowhere. One of a
// group alone keeps its place among those that wait, and PostgreSQL updates the
// heap alone, as for a claim. Whoever looks for tasks that wait for a turn must
// ask for their state too, and for one that has the turn also among those that
// seem to wait.
//
// It uses tasks_grouped, tasks_limited and the primary keys.
//
// Most turns are of groups alone. Then handOverTurns does it: the parts of a
// statement that have nothing to do take their time all the same. So does
// [handOverTurnsAtOnce], for a statement that has a lock_timeout: it waits for who
// has a next task locked. It changes the next tasks by their places, without an
// index and without having locked them, which needs a PostgreSQL that
// [Store.rechecksPlaces]: a version that came after the statement's snapshot is
// left alone, and its turn reported as unsettled. Instead of released it takes the
// ended tasks themselves, in gone, with direct, and instead of me arguments.
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
taken AS (` + takeNext + `, limit_slot = ` + slotOfTaker + `, waits_for = CASE WHEN t.limit_key IS NULL THEN t.waits_for ELSE 1 END
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled WHERE direct UNION ALL SELECT id FROM takers WHERE direct))
    RETURNING ` + takenColumns + `),
promoted AS (
    UPDATE orchestrator.tasks t
    SET state = ` + stateOfPromoted + `, waits_for = ` + stateOfPromoted + `, run_at = now(), limit_slot = ` + slotOfTaker + `
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
)

// handOverTurnsAtOnce completes a statement that has a lock_timeout, of which
// [Taker.args] are the arguments from a number on.
func handOverTurnsAtOnce(from int) string {
	arg := func(i int, as string) string { return "$" + strconv.Itoa(from+i) + "::" + as }
	return strings.NewReplacer("(SELECT worker FROM me)", arg(0, "bigint"), "(SELECT claim FROM me)", arg(1, "bigint"),
		"me.known", arg(2, "integer"), "me.foreigners", arg(3, "integer[]"), "me.floored", arg(4, "smallint")+" = 1").Replace(handOverTurnsToMe)
}

// Mostly all next tasks are taken or promoted: then unsettled makes no hash of those.
const handOverTurnsToMe = `
settled AS MATERIALIZED (
    SELECT r.group_key, coalesce(above.id, lowest.id) AS id, coalesce(above.version, lowest.version) AS version,
        coalesce(above.direct, lowest.direct) AS direct
    FROM gone r
    LEFT JOIN LATERAL (` + headAbove + `) AS above ON true
    LEFT JOIN LATERAL (` + headLowest + `) AS lowest ON true
    WHERE r.group_key IS NOT NULL),
taken AS (` + takeNext + `
    WHERE t.ctid = ANY (ARRAY(SELECT version FROM settled WHERE direct))
    RETURNING ` + takenColumns + `),
promoted AS (` + promoteNext + `
    WHERE t.ctid = ANY (ARRAY(SELECT version FROM settled WHERE NOT direct))
    RETURNING ` + promotedColumns + `),
turns_over AS (
    DELETE FROM orchestrator.groups g WHERE g.key = ANY (ARRAY(SELECT group_key FROM settled WHERE id IS NULL))),
unsettled AS (
    SELECT group_key AS key, true AS is_group FROM settled
    WHERE id IS NOT NULL AND CASE WHEN (SELECT count(id) FROM settled) > (SELECT count(*) FROM taken) + (SELECT count(*) FROM promoted)
        THEN id NOT IN (SELECT id FROM taken UNION ALL SELECT id FROM promoted) END)` + handedOver

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
        WHERE me.floored AND ` + waitsAfter + ` (orchestrator.group_hash(r.group_key), 2::smallint, r.id)
        ORDER BY orchestrator.group_hash(w.group_key), w.waits_for, w.id LIMIT 1`
	headLowest = head + `
        WHERE above.id IS NULL AND ` + waitsAfter + ` (orchestrator.group_hash(r.group_key), 2::smallint, 0)
        ORDER BY orchestrator.group_hash(w.group_key), w.waits_for, w.id LIMIT 1`
	head = `
        SELECT w.id, w.ctid AS version, w.limit_key IS NULL AND ` + takeable + ` AND r.direct AND w.queue = r.queue AND w.priority >= r.priority AS direct
        FROM orchestrator.tasks w`

	takeNext = `
    UPDATE orchestrator.tasks t
    SET state = 1, worker_id = (SELECT worker FROM me), claim = (SELECT claim FROM me), claimed_at = now(), started_at = NULL`

	// promoteNext is for tasks that have no slot yet.
	promoteNext = `
    UPDATE orchestrator.tasks t
    SET state = ` + stateWithTurn + `, waits_for = ` + stateWithTurn + `, run_at = now()`
	stateWithTurn = `CASE WHEN t.limit_key IS NULL THEN 0 ELSE 3 END`

	promotedColumns = `t.id, t.queue, t.sublane, t.priority, t.state`

	turnsOver = `turns_over AS (
    DELETE FROM orchestrator.groups g WHERE g.key = ANY (ARRAY(SELECT group_key FROM settled WHERE head IS NULL)))`

	unsettledTurns = `SELECT group_key AS key, true AS is_group FROM settled WHERE head IS NOT NULL AND id IS NULL`
)

// waitsAfter is true of a task w that waits for its group's turn and comes after
// a place in tasks_grouped, which follows. An equality of hashes would make
// the order that of ids alone, and the planner walk the primary key, past the
// tasks of all other groups. CASE hides the state and the group from it, as in
// [claim].
const waitsAfter = `w.waits_for = 2 AND CASE WHEN w.state = 2 AND w.group_key = r.group_key THEN w.run_at <= now() END
          AND orchestrator.group_hash(w.group_key) <= orchestrator.group_hash(r.group_key)
          AND (orchestrator.group_hash(w.group_key), w.waits_for, w.id) >`

// stateOfPromoted is of a task t that has been given its turn or, as one of
// takers, its slot, and also what it waits for.
const stateOfPromoted = `CASE WHEN t.limit_key IS NULL OR t.id = ANY (ARRAY(SELECT id FROM takers)) THEN 0 ELSE 3 END`

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
	Claim   int64 // used for this alone; 0 for nobody
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
		lane  *LaneKey // of the task before
	)
	for rows.Next() {
		if err := t.scan(rows); err != nil {
			return err
		}
		switch kind {
		case kindTaken:
			if lane == nil || *lane != t.lane {
				own := t.lane
				lane = &own
			}
			t.LaneKey = lane
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
			h.Ready = append(h.Ready, t.lane)
		case kindArriving:
			h.Arriving = append(h.Arriving, t.lane.Queue)
		case kindTurn:
			h.Groups = append(h.Groups, key)
		case kindSlot:
			h.Limits = append(h.Limits, key)
		}
	}
	h.Taken, h.Now = taken.tasks, t.now
	return rows.Err()
}
