package store

import (
	"context"
	"slices"
	"time"
)

// Fence says which claim of a task a worker speaks for. A statement that
// carries a fence which no longer holds changes nothing.
type Fence struct {
	ID     int64
	Worker int64
	Claim  int64
}

// Finished is the end of a task, other than a dead one.
type Finished struct {
	Fence
	State    int16         // StateSucceeded, StateCancelled or StateExpired
	Attempts int16         // spent in all
	Kept     time.Duration // how long in history
	Result   string
	Error    string // JSON object of the last error, or ""
	Turn     Turn
	Tell     bool // the webhook of the type, if it has one
}

// Buried is a task that ends in the dead letters.
type Buried struct {
	Fence
	Attempts int16
	Error    string // JSON object
	Code     string
	Turn     Turn
	// Block keeps the turn of the task's group until the dead letter is
	// redriven or purged.
	Block bool
	Tell  bool // the webhook of the type, if it has one
}

// Returned is a task that goes back to the queue.
type Returned struct {
	Fence
	Attempts int16
	Delay    time.Duration
	Sublane  string // where the worker that returns it looks for it
	Error    string // JSON object, or "" when the attempt did not fail
	Turn     Turn
}

// The values of the state columns.
const (
	StateReady     int16 = 0
	StateRunning   int16 = 1
	StateBlocked   int16 = 2 // waits for its group's turn
	StateThrottled int16 = 3 // waits for a slot of its limit
	StateSucceeded int16 = 4
	StateCancelled int16 = 5
	StateExpired   int16 = 6
	StateDead      int16 = 7
)

// held locks the rows whose fence holds, through the primary key and in the
// order of ids. SKIP LOCKED: a row that somebody else is changing is left out
// of the batch and tried again alone.
const held = `
held AS MATERIALIZED (
    SELECT t.id FROM x CROSS JOIN LATERAL (
        SELECT t.id FROM orchestrator.tasks t
        WHERE t.id = x.id AND (t.worker_id, t.claim, t.state) IS NOT DISTINCT FROM (x.worker, x.claim, 1::smallint)
        ORDER BY t.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS t)`

// The rows that a statement takes which are in held, and those of x whose fence
// holds without locking them first, which saves a look at each row and a log
// record. There is no DELETE that skips locked rows: it waits, but not for long,
// and then fails with SQLSTATE 55P03. It does not lead to a deadlock, because
// ids come sorted.
//
// IS TRUE keeps the planner from making a join of the fence, and of a join a
// scan of the whole table.
const (
	whereHeld     = `WHERE t.id = ANY (ARRAY(SELECT id FROM held))`
	whereFenceOfX = `WHERE ` + idOfX + `
        AND ((t.id, t.worker_id, t.claim, t.state) IN (SELECT x.id, x.worker, x.claim, 1::smallint FROM x)) IS TRUE`
	idOfX       = `t.id = ANY (ARRAY(SELECT x.id FROM x, set_config('lock_timeout', '` + lockTimeout + `', true)))`
	lockTimeout = `100ms`
)

// joinBack joins the deleted rows with their outcomes. Only a hash or a merge
// can do a FULL JOIN, and coalesce keeps the planner from turning it into
// another one: it expects ten rows and would choose a nested loop, which is
// quadratic in the thousand there are.
const joinBack = `FROM gone g FULL JOIN x ON x.id = g.id WHERE coalesce(g.id, 0) <> 0`

const (
	finish         = finishOf + finishGone + whereFenceOfX + finishReturning + finishInsert
	finishHeld     = finishOf + held + `,` + finishGone + whereHeld + finishReturning + finishInsert
	finishTold     = finishOf + finishGone + whereFenceOfX + finishReturning + finishTell + finishInsert
	finishHeldTold = finishOf + held + `,` + finishGone + whereHeld + finishReturning + finishTell + finishInsert

	finishOf = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::smallint[], $6::bigint[], $7::text[], $8::text[])
    AS x(id, worker, claim, state, attempts, kept, result, error)),`
	finishGone = `
gone AS (
    DELETE FROM orchestrator.tasks t `
	finishReturning = `
    RETURNING ` + finishedColumnsOf + `)`
	finishTell   = tell + `x.state, x.attempts ` + joinBack + tellTo
	finishInsert = `
` + insertFinished + `
SELECT now() + x.kept * interval '1 microsecond', ` + finishedValues + `, x.state, x.attempts, nullif(x.result, '')::json,
    orchestrator.add_error(g.errors, x.error)
` + joinBack + `
RETURNING id`
)

// finishAlike is finish for tasks that are alike in everything but id and claim,
// and leave neither a result nor an error, as most batches do: each array is
// written, sent and read for each row, and there is nothing to join back.
const (
	finishAlike = `
WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS x(id, claim)),` +
		finishGone + whereFenceAlike + finishReturning + finishAlikeInsert

	whereFenceAlike = `WHERE ` + idOfX + `
        AND t.worker_id = $3 AND t.state = 1 AND ((t.id, t.claim) IN (SELECT x.id, x.claim FROM x)) IS TRUE`
	finishAlikeInsert = `
` + insertFinished + `
SELECT now() + $6 * interval '1 microsecond', ` + finishedValues + `, $4, $5, NULL, g.errors
FROM gone g
RETURNING id`
)

// finishTurns is finish, and finishTurnsAlike finishAlike, for a batch in which
// tasks have turns. finishTurnsAndSlots is for one in which some have slots,
// and, like finishHeld, for one of which somebody keeps a row locked.
var (
	finishTurns = finishTurnsOf + finishGone + whereFenceOfX + finishTurnsReturning + finishTurnsEnded + handOverTurnsAtOnce(11)

	finishTurnsAlike = `
WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $7::smallint[]) AS x(id, claim, direct)),` +
		finishGone + whereFenceAlike + finishTurnsReturning + `,
ended AS (` + finishAlikeInsert + `),` + handOverTurnsAtOnce(8)
)

const (
	finishTurnsAndSlots = finishTurnsOf + held + `,` + finishGone + whereHeld + finishSlotsReturning + finishTurnsEnded +
		finishSlotsOver + handOver + handedOver
	finishTurnsAndSlotsTold = finishTurnsOf + held + `,` + finishGone + whereHeld + finishSlotsReturning +
		tell + `x.state, x.attempts ` + joinBack + tellTo + finishTurnsEnded + finishSlotsOver + handOver + handedOver
	finishTurnsOf = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::smallint[], $6::bigint[], $7::text[], $8::text[],
        $9::smallint[], $10::smallint[])
    AS x(id, worker, claim, state, attempts, kept, result, error, direct, total)),`
	// Mostly there is room for all that comes next, and no hash of them is made.
	finishTurnsReturning = `
    RETURNING ` + finishedColumnsOf + `, NOT EXISTS (SELECT FROM x WHERE x.direct = 0) OR t.id IN (SELECT x.id FROM x WHERE x.direct = 1) AS direct)`
	finishSlotsReturning = `
    RETURNING ` + finishedColumnsOf + `, t.limit_key, t.limit_slot)`
	finishTurnsEnded = `,
ended AS (
` + insertFinished + `
SELECT now() + x.kept * interval '1 microsecond', ` + finishedValues + `, x.state, x.attempts, nullif(x.result, '')::json,
    orchestrator.add_error(g.errors, x.error)
` + joinBack + `
RETURNING id),`
	finishSlotsOver = `
me AS MATERIALIZED (
    SELECT $11::bigint AS worker, $12::bigint AS claim, $13::integer AS known, $14::integer[] AS foreigners, $15::smallint = 1 AS floored),
released AS MATERIALIZED (
    SELECT g.id, g.group_key, g.limit_key, g.limit_slot, x.total, x.direct = 1 AS direct, g.queue, g.priority
    ` + joinBack + `),
`
)

// The pieces of moving a row to history, shared with expiry.
const (
	finishedColumnsOf = `t.id, t.scheduled_for, t.enqueued_at, t.claimed_at, t.worker_id, t.claim, t.run_id, t.contract, t.priority,
    t.queue, t.step, t.group_key, t.trace_parent, t.payload, t.metadata, t.attempts, t.errors`
	insertFinished = `INSERT INTO orchestrator.tasks_finished (
    keep_until, finished_at, id, scheduled_for, enqueued_at, claimed_at, worker_id, claim, run_id, contract, priority,
    queue, step, group_key, trace_parent, payload, metadata, state, attempts, result, errors)`
	// keptByContract is the keep_until of a row that no worker ends.
	keptByContract = `now() + (SELECT c.retention FROM orchestrator.task_contracts c WHERE c.id = g.contract)`
	finishedValues = `now(), g.id, g.scheduled_for, g.enqueued_at, g.claimed_at, g.worker_id, g.claim, g.run_id, g.contract, g.priority,
    g.queue, g.step, g.group_key, g.trace_parent, g.payload, g.metadata`
)

const (
	bury     = buryGone + buryInsert
	buryTold = buryGone + tell + `7::smallint AS state, x.attempts ` + joinBack + tellTo + buryInsert
	buryGone = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[])
    AS x(id, worker, claim, attempts, error, code)),` + held + `,
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM held)) RETURNING ` + deadColumnsOf + `)`
	buryInsert = `
` + insertDead + `
SELECT ` + deadValues + `, x.attempts, orchestrator.add_error(g.errors, x.error), nullif(x.code, '')
` + joinBack + `
RETURNING id`
)

// buryTurns is bury for a batch in which tasks have turns or slots. A task that
// blocks its group keeps the turn.
const (
	buryTurns     = buryTurnsGone + buryTurnsOver
	buryTurnsTold = buryTurnsGone + tell + `7::smallint AS state, x.attempts ` + joinBack + tellTo + buryTurnsOver
	buryTurnsGone = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[],
        $7::smallint[], $8::smallint[], $9::smallint[])
    AS x(id, worker, claim, attempts, error, code, direct, total, block)),` + held + `,
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM held)) RETURNING ` + deadColumnsOf + `, t.limit_slot)`
	buryTurnsOver = `,
ended AS (
` + insertDead + `
SELECT ` + deadValues + `, x.attempts, orchestrator.add_error(g.errors, x.error), nullif(x.code, '')
` + joinBack + `
RETURNING id),
blocked AS (
    UPDATE orchestrator.groups b SET blocked_by = g.id FROM gone g, x
    WHERE b.key = g.group_key AND x.id = g.id AND x.block = 1),
released AS MATERIALIZED (
    SELECT g.id, CASE WHEN x.block = 0 THEN g.group_key END AS group_key, g.limit_key, g.limit_slot, x.total, x.direct = 1 AS direct,
        g.queue, g.priority
    ` + joinBack + `),
me AS MATERIALIZED (
    SELECT $10::bigint AS worker, $11::bigint AS claim, $12::integer AS known, $13::integer[] AS foreigners, $14::smallint = 1 AS floored),
` + handOver + handedOver
)

// The pieces of moving a row to the dead letters, shared with lease recovery.
const (
	deadColumnsOf = `t.id, t.scheduled_for, t.enqueued_at, t.claimed_at, t.worker_id, t.claim, t.run_id, t.timeout_ms, t.contract,
    t.priority, t.max_attempts, t.queue, t.sublane, t.step, t.group_key, t.limit_key, t.trace_parent, t.trace_state, t.payload, t.metadata,
    t.attempts, t.errors`
	insertDead = `INSERT INTO orchestrator.tasks_dead (
    finished_at, id, scheduled_for, enqueued_at, claimed_at, worker_id, claim, run_id, timeout_ms, contract,
    priority, max_attempts, queue, sublane, step, group_key, limit_key, trace_parent, trace_state, payload, metadata,
    attempts, errors, code)`
	deadValues = `now(), g.id, g.scheduled_for, g.enqueued_at, g.claimed_at, g.worker_id, g.claim, g.run_id, g.timeout_ms, g.contract,
    g.priority, g.max_attempts, g.queue, g.sublane, g.step, g.group_key, g.limit_key, g.trace_parent, g.trace_state, g.payload, g.metadata`
)

// giveBack keeps run_at ahead of every worker's cursor: never before now(). A
// suspect that has run is cleared; one that was never started stays suspect.
const giveBack = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::text[], $7::text[])
    AS x(id, worker, claim, attempts, delay, error, sublane)),` + held + `
UPDATE orchestrator.tasks t
SET state = 0, waits_for = 0, worker_id = NULL, claim = NULL, started_at = NULL, suspect = t.suspect AND t.started_at IS NULL, attempts = x.attempts,
    run_at = now() + x.delay * interval '1 microsecond', sublane = x.sublane,
    errors = orchestrator.add_error(t.errors, x.error)
FROM x
WHERE t.id = ANY (ARRAY(SELECT id FROM held)) AND x.id = t.id
RETURNING t.id`

// giveBackTurns is giveBack for tasks with slots. One that will wait gives its
// slot up, and waits for another when it is due; a group's turn it keeps.
const giveBackTurns = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::text[], $7::text[],
        $8::smallint[], $9::smallint[])
    AS x(id, worker, claim, attempts, delay, error, sublane, direct, total)),` + held + `,
released AS MATERIALIZED (
    SELECT t.id, NULL::text AS group_key, t.limit_key, t.limit_slot, x.total, x.direct = 1 AS direct, t.queue, t.priority
    FROM x CROSS JOIN LATERAL (
        SELECT t.* FROM orchestrator.tasks t WHERE t.id = x.id AND t.id = ANY (ARRAY(SELECT id FROM held)) ORDER BY t.id LIMIT 1) AS t
    WHERE x.delay > 0 AND t.limit_slot IS NOT NULL),
ended AS (
    UPDATE orchestrator.tasks t
    SET state = ` + stateOfReturned + `, waits_for = ` + stateOfReturned + `,
        limit_slot = CASE WHEN x.delay > 0 THEN NULL ELSE t.limit_slot END,
        worker_id = NULL, claim = NULL, started_at = NULL, suspect = t.suspect AND t.started_at IS NULL, attempts = x.attempts,
        run_at = now() + x.delay * interval '1 microsecond', sublane = x.sublane,
        errors = orchestrator.add_error(t.errors, x.error)
    FROM x
    WHERE t.id = ANY (ARRAY(SELECT id FROM held)) AND x.id = t.id
    RETURNING t.id),
me AS MATERIALIZED (
    SELECT $10::bigint AS worker, $11::bigint AS claim, $12::integer AS known, $13::integer[] AS foreigners, $14::smallint = 1 AS floored),
` + handOver + handedOver

// stateOfReturned is also what the task waits for.
const stateOfReturned = `CASE WHEN x.delay > 0 AND t.limit_slot IS NOT NULL THEN 3 ELSE 0 END`

// Finish moves tasks to history and returns the ids of those whose fence held,
// but for those that somebody keeps locked. Batches must be sorted by id.
func (s *Store) Finish(ctx context.Context, batch []*Finished) ([]int64, error) {
	if alike(batch) {
		ids, err := s.ids(ctx, "finish", len(batch), finishAlike, alikeArgs(batch)...)
		if SQLState(err) != lockNotAvailable {
			return ids, err
		}
		return s.ids(ctx, "finish", len(batch), finishHeld, finishArgs(batch)...)
	}
	statement, careful := finish, finishHeld
	if slices.ContainsFunc(batch, func(b *Finished) bool { return b.Tell }) {
		statement, careful = finishTold, finishHeldTold
	}
	args := finishArgs(batch)
	ids, err := s.ids(ctx, "finish", len(batch), statement, args...)
	if SQLState(err) == lockNotAvailable {
		ids, err = s.ids(ctx, "finish", len(batch), careful, args...)
	}
	return ids, err
}

// alike tells whether finishAlike will do for a batch.
func alike(batch []*Finished) bool {
	first := batch[0]
	return !slices.ContainsFunc(batch, func(b *Finished) bool {
		return b.Tell || b.Result != "" || b.Error != "" ||
			b.Worker != first.Worker || b.State != first.State || b.Attempts != first.Attempts || b.Kept != first.Kept
	})
}

func alikeArgs(batch []*Finished) []any {
	first, ids, claims := batch[0], make([]int64, len(batch)), make([]int64, len(batch))
	for i, b := range batch {
		ids[i], claims[i] = b.ID, b.Claim
	}
	return []any{ids, claims, first.Worker, first.State, first.Attempts, first.Kept.Microseconds()}
}

// FinishTurns is [Store.Finish] for tasks that may have turns or slots, which
// it hands over, to taker where there is room for that.
func (s *Store) FinishTurns(ctx context.Context, batch []*Finished, taker Taker) (Handed, error) {
	turns := newTurns(len(batch))
	for i, b := range batch {
		turns.set(i, b.Turn)
	}
	statement, careful := finishTurns, finishTurnsAndSlots
	rechecks, err := s.rechecksPlaces(ctx)
	if err != nil {
		return Handed{}, err
	}
	switch {
	case slices.ContainsFunc(batch, func(b *Finished) bool { return b.Tell }):
		statement, careful = finishTurnsAndSlotsTold, finishTurnsAndSlotsTold
	case !rechecks || slices.ContainsFunc(batch, func(b *Finished) bool { return b.Turn.Slot }):
		statement = careful
	}
	if statement == finishTurns && alike(batch) {
		h, err := s.handed(ctx, "finish", finishTurnsAlike, alikeArgs(batch), []any{turns.directs}, taker.args())
		if SQLState(err) != lockNotAvailable {
			return h, err
		}
		statement = careful
	}
	args := [][]any{finishArgs(batch), turns.args(), taker.args()}
	h, err := s.handed(ctx, "finish", statement, args...)
	if SQLState(err) == lockNotAvailable {
		h, err = s.handed(ctx, "finish", careful, args...)
	}
	return h, err
}

func finishArgs(batch []*Finished) []any {
	n := len(batch)
	f := newFences(n)
	states, attempts, kept := make([]int16, n), make([]int16, n), make([]int64, n)
	results, errs := make([]string, n), make([]string, n)
	for i, b := range batch {
		f.set(i, b.Fence)
		states[i], attempts[i], kept[i], results[i], errs[i] = b.State, b.Attempts, b.Kept.Microseconds(), b.Result, b.Error
	}
	return []any{f.ids, f.workers, f.claims, states, attempts, kept, results, errs}
}

// Bury moves tasks to the dead letters and returns the ids of those whose
// fence held. Batches must be sorted by id.
func (s *Store) Bury(ctx context.Context, batch []Buried) ([]int64, error) {
	statement := bury
	if slices.ContainsFunc(batch, func(b Buried) bool { return b.Tell }) {
		statement = buryTold
	}
	return s.ids(ctx, "bury", len(batch), statement, buryArgs(batch)...)
}

// BuryTurns is [Store.Bury] for tasks that may have turns or slots, which it
// hands over, to taker where there is room for that.
func (s *Store) BuryTurns(ctx context.Context, batch []Buried, taker Taker) (Handed, error) {
	turns, blocks := newTurns(len(batch)), make([]int16, len(batch))
	for i, b := range batch {
		turns.set(i, b.Turn)
		if b.Block {
			blocks[i] = 1
		}
	}
	statement := buryTurns
	if slices.ContainsFunc(batch, func(b Buried) bool { return b.Tell }) {
		statement = buryTurnsTold
	}
	return s.handed(ctx, "bury", statement, buryArgs(batch), append(turns.args(), blocks), taker.args())
}

func buryArgs(batch []Buried) []any {
	n := len(batch)
	f := newFences(n)
	attempts := make([]int16, n)
	errs, codes := make([]string, n), make([]string, n)
	for i, b := range batch {
		f.set(i, b.Fence)
		attempts[i], errs[i], codes[i] = b.Attempts, b.Error, b.Code
	}
	return []any{f.ids, f.workers, f.claims, attempts, errs, codes}
}

// ReturnChunk is how many tasks one statement returns at most: UPDATE has no
// join that the planner could not make a nested loop of.
const ReturnChunk = 100

// Return puts at most ReturnChunk tasks back into the queue, each after its
// delay in database time, and returns the ids of those whose fence held. Batches
// must be sorted by id.
func (s *Store) Return(ctx context.Context, batch []Returned) ([]int64, error) {
	return s.ids(ctx, "return", len(batch), giveBack, returnArgs(batch)...)
}

// ReturnTurns is [Store.Return] for tasks that may have slots, which it hands
// over, to taker where there is room for that, when the tasks are to wait.
func (s *Store) ReturnTurns(ctx context.Context, batch []Returned, taker Taker) (Handed, error) {
	turns := newTurns(len(batch))
	for i, b := range batch {
		turns.set(i, b.Turn)
	}
	return s.handed(ctx, "return", giveBackTurns, returnArgs(batch), turns.args(), taker.args())
}

func returnArgs(batch []Returned) []any {
	n := len(batch)
	f := newFences(n)
	attempts, delays, errs, sublanes := make([]int16, n), make([]int64, n), make([]string, n), make([]string, n)
	for i, b := range batch {
		f.set(i, b.Fence)
		attempts[i], delays[i], errs[i], sublanes[i] = b.Attempts, b.Delay.Microseconds(), b.Error, b.Sublane
	}
	return []any{f.ids, f.workers, f.claims, attempts, delays, errs, sublanes}
}

// turns is the two columns that say what to make of a batch's turns.
type turns struct{ directs, totals []int16 }

func newTurns(n int) turns { return turns{make([]int16, n), make([]int16, n)} }

func (t turns) set(i int, turn Turn) {
	if turn.Direct {
		t.directs[i] = 1
	}
	t.totals[i] = turn.Total
}

func (t turns) args() []any { return []any{t.directs, t.totals} }

// handed runs a statement that ends with handedOver.
func (s *Store) handed(ctx context.Context, doing, statement string, args ...[]any) (h Handed, err error) {
	rows, err := s.query(ctx, statement, slices.Concat(args...)...)
	if err != nil {
		return h, wrap(doing, err)
	}
	defer rows.Close()
	err = h.read(rows)
	return h, wrap(doing, err)
}

const finishedBy = `
SELECT EXISTS (SELECT FROM orchestrator.tasks_finished WHERE id = $1 AND worker_id = $2 AND claim = $3)
    OR EXISTS (SELECT FROM orchestrator.tasks_dead WHERE id = $1 AND worker_id = $2 AND claim = $3)`

// FinishedBy tells whether this very claim has finished the task before: a
// finish whose answer was lost looks stale when it is tried again.
func (s *Store) FinishedBy(ctx context.Context, f Fence) (done bool, err error) {
	err = s.queryRow(ctx, finishedBy, f.ID, f.Worker, f.Claim).Scan(&done)
	return done, wrap("look for a finished task", err)
}

const holds = `
SELECT EXISTS (
    SELECT FROM orchestrator.tasks WHERE id = $1 AND (worker_id, claim, state) IS NOT DISTINCT FROM ($2::bigint, $3::bigint, 1::smallint))`

// Holds tells whether the fence still holds.
func (s *Store) Holds(ctx context.Context, f Fence) (held bool, err error) {
	err = s.queryRow(ctx, holds, f.ID, f.Worker, f.Claim).Scan(&held)
	return held, wrap("check a lease", err)
}

// completeIn is finish for one row inside a caller's transaction. It waits for
// a lock instead of skipping: there is no batch to hold up.
const completeIn = `
WITH gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = $1 AND (t.worker_id, t.claim, t.state) IS NOT DISTINCT FROM ($2::bigint, $3::bigint, 1::smallint)
    RETURNING ` + finishedColumnsOf + `, t.limit_key, t.limit_slot)` + tell + `4::smallint AS state, (g.attempts + 1)::smallint AS attempts FROM gone g` + tellTo + `,
ended AS (
` + insertFinished + `
SELECT now() + $5 * interval '1 microsecond', ` + finishedValues + `, 4, g.attempts + 1, nullif($4::text, '')::json, g.errors
FROM gone g
RETURNING id),
released AS MATERIALIZED (
    SELECT g.id, g.group_key, g.limit_key, g.limit_slot, $6::smallint AS total, false AS direct, g.queue, g.priority FROM gone g),
` + nobody + `,` + handOver + handedOver

// CompleteIn finishes a task as succeeded inside the caller's transaction, and
// makes those ready that had to wait for it. It returns false when the fence
// does not hold. Total is the limit on slots of the task.
func (s *Store) CompleteIn(ctx context.Context, tx Querier, f Fence, result string, kept time.Duration, total int16) (h Handed, done bool, err error) {
	rows, closeRows, err := tx.Query(ctx, s.text(completeIn), f.ID, f.Worker, f.Claim, result, kept.Microseconds(), total)
	if err != nil {
		return h, false, wrap("complete in a transaction", err)
	}
	defer closeRows()
	err = h.read(rows)
	return h, len(h.Ended) == 1, wrap("complete in a transaction", err)
}

// fences is the three columns that every fenced batch begins with.
type fences struct{ ids, workers, claims []int64 }

func newFences(n int) fences {
	return fences{make([]int64, n), make([]int64, n), make([]int64, n)}
}

func (f fences) set(i int, fence Fence) {
	f.ids[i], f.workers[i], f.claims[i] = fence.ID, fence.Worker, fence.Claim
}

// ids runs a statement that returns ids, most of the n that it is given.
func (s *Store) ids(ctx context.Context, doing string, n int, statement string, args ...any) ([]int64, error) {
	rows, err := s.query(ctx, statement, args...)
	if err != nil {
		return nil, wrap(doing, err)
	}
	defer rows.Close()
	ids := make([]int64, 0, n)
	var id int64
	into := []any{&id} // once, not for each of a thousand rows
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, wrap(doing, err)
		}
		ids = append(ids, id)
	}
	return ids, wrap(doing, rows.Err())
}
