package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// NewTask is a row on its way into the queue.
type NewTask struct {
	Contract    int32         `json:"contract"`
	Type        string        `json:"type"`
	Queue       string        `json:"queue"`
	Sublane     string        `json:"sublane"` // as in LaneKey
	Priority    int16         `json:"priority"`
	RunAt       int64         `json:"run_at"`       // microseconds since 1970; 0 is now
	Delay       int64         `json:"delay"`        // microseconds after RunAt
	TTL         int64         `json:"ttl"`          // microseconds after that; 0 is never
	Deadline    int64         `json:"deadline"`     // as TTL, of all attempts together
	Timeout     int64         `json:"timeout"`      // milliseconds; 0: the contract's; -1: none
	MaxAttempts int16         `json:"max_attempts"` // 0: the contract's
	Payload     string        `json:"payload"`
	Metadata    string        `json:"metadata"` // JSON object or ""
	TraceParent string        `json:"trace_parent"`
	TraceState  string        `json:"trace_state"`
	GroupKey    string        `json:"group_key"` // "" is ungrouped
	LimitKey    string        `json:"limit_key"` // of a limit on how many run at a time; "" is none
	Key         string        `json:"key"`       // idempotency key; "" is none
	Window      time.Duration `json:"-"`
	WindowMicro int64         `json:"window"` // set by the store from Window
	OnDuplicate OnDuplicate   `json:"-"`
}

// Inserted is the answer to a NewTask.
type Inserted struct {
	ID         int64
	EnqueuedAt time.Time // zero when Existing
	Existing   bool      // Key was taken; ID is the task that has it, and that may have been replaced
}

// insertFrom turns rows of input into tasks, in input's order, so that ids
// grow with it. It is completed by a WITH clause that defines input.
//
// run_at is never in the past, whatever was asked for: workers walk lanes by
// run_at, and look far behind their cursors only once in hours.
const (
	insertFrom = insertTimedInto + `id, ` + timedInput + `ORDER BY ord
RETURNING id, enqueued_at`
	insertTimedInto = `
INSERT INTO orchestrator.tasks (
    id, run_at, scheduled_for, expires_at, deadline_at, timeout_ms, contract, state, waits_for, priority, max_attempts, queue,
    sublane, group_key, limit_key, trace_parent, trace_state, payload, metadata)
SELECT `
	timedInput = `greatest(due, now()), due, CASE WHEN ttl > 0 THEN due + ttl * interval '1 microsecond' END,
    CASE WHEN deadline > 0 THEN due + deadline * interval '1 microsecond' END,
    nullif(timeout, 0), contract, ` + newState + `, ` + newState + `, priority, nullif(max_attempts, 0::smallint), queue,
    sublane, nullif(group_key, ''), nullif(limit_key, ''), nullif(trace_parent, ''), nullif(trace_state, ''), payload::json,
    nullif(metadata, '')::json
FROM (
    SELECT *, CASE WHEN run_at > 0 THEN timestamptz 'epoch' + run_at * interval '1 microsecond' ELSE now() END
        + delay * interval '1 microsecond' AS due
    FROM input) AS timed
`
)

// insertSimple and insertOne are for tasks that say nothing of when and how
// they run, which most do not: the columns of everything else have defaults,
// and each column that is sent costs something for each row. Rows of a function
// come, and draw their ids, in the order of the arrays, as nothing here joins
// or sorts them.
const (
	insertSimple = insertSimpleInto + `
SELECT contract, ` + newState + `, ` + newState + `, priority, queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
    nullif(trace_parent, ''), nullif(trace_state, ''), payload::json
FROM unnest($1::integer[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS x(contract, priority, queue, sublane, group_key, limit_key, trace_parent, trace_state, payload)
RETURNING id, enqueued_at`
	insertOne = insertSimpleInto + `
SELECT contract, ` + newState + `, ` + newState + `, priority, queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
    nullif(trace_parent, ''), nullif(trace_state, ''), payload::json
FROM (VALUES ($1::integer, $2::smallint, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text))
    AS x(contract, priority, queue, sublane, group_key, limit_key, trace_parent, trace_state, payload)
RETURNING id, enqueued_at`
	// insertAlike is for simple tasks that differ in little more than their
	// payload, as those that are enqueued at the same time mostly do: what they
	// share is sent, and taken apart, once. The one row it returns has all ids, as
	// each row costs something too.
	insertAlike = `WITH inserted AS (
    INSERT INTO orchestrator.tasks (contract, priority, queue, sublane, trace_parent, payload)
    SELECT $1::integer, $2::smallint, $3::text, $4::text, nullif(trace_parent, ''), payload::json
    FROM unnest($5::text[], $6::text[]) AS x(trace_parent, payload)
    RETURNING id)
SELECT now(), array_agg(id) FROM inserted`
	// insertAndNotify also tells an idle worker of the lane $11 on channel $10: see
	// notifyIdle.
	insertAndNotify  = insertOne + `, (SELECT pg_notify($10, $11)::text FROM orchestrator.workers WHERE idle LIMIT 1)`
	insertSimpleInto = `
INSERT INTO orchestrator.tasks (contract, state, waits_for, priority, queue, sublane, group_key, limit_key, trace_parent, trace_state, payload)`
	// newState is also what a new task waits for.
	newState = `CASE WHEN group_key <> '' THEN 2 WHEN limit_key <> '' THEN 3 ELSE 0 END`
)

// Simple tells of a task that says nothing of when and how it runs, and has no
// idempotency key.
func (t *NewTask) Simple() bool {
	return t.Key == "" && t.RunAt == 0 && t.Delay == 0 && t.TTL == 0 && t.Deadline == 0 && t.Timeout == 0 && t.MaxAttempts == 0 && t.Metadata == ""
}

// inputArrays is for pgx, which sends arrays in binary.
const inputArrays = `WITH input AS (
    SELECT nextval('orchestrator.task_id') AS id, x.*
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
        $17::bigint[])
    WITH ORDINALITY AS x(contract, type, queue, priority, run_at, delay, ttl,
        timeout, max_attempts, payload, metadata, trace_parent, trace_state, sublane, group_key, limit_key, deadline, ord)
    ORDER BY x.ord)`

// Insert stores tasks without idempotency keys, all or none, durable when it
// returns.
func (s *Store) Insert(ctx context.Context, tasks []NewTask) ([]Inserted, error) {
	return s.InsertWith(ctx, tasks, nil)
}

// InsertWith is [Store.Insert] with as many ids as there are tasks, which it
// uses only if all tasks are simple and there are FewestCopied of them; nil are
// drawn then.
func (s *Store) InsertWith(ctx context.Context, tasks []NewTask, ids *IDs) ([]Inserted, error) {
	switch {
	case len(tasks) >= FewestCopied && allSimple(tasks):
		return s.copyIn(ctx, tasks, ids)
	case len(tasks) > 1 && allAlike(tasks):
		return s.insertAlike(ctx, tasks)
	}
	statement, args := insertion(tasks)
	rows, err := s.query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanInserted(rows, len(tasks))
}

func allSimple(tasks []NewTask) bool {
	for i := range tasks {
		if !tasks[i].Simple() {
			return false
		}
	}
	return true
}

// allAlike tells whether insertAlike may insert tasks.
func allAlike(tasks []NewTask) bool {
	first := &tasks[0]
	for i := range tasks {
		t := &tasks[i]
		if t.Contract != first.Contract || t.Priority != first.Priority || t.Queue != first.Queue || t.Sublane != first.Sublane ||
			t.GroupKey != "" || t.LimitKey != "" || t.TraceState != "" || !t.Simple() {
			return false
		}
	}
	return true
}

func (s *Store) insertAlike(ctx context.Context, tasks []NewTask) ([]Inserted, error) {
	texts := make([]string, 2*len(tasks))
	traceParents, payloads := texts[:len(tasks)], texts[len(tasks):]
	for i := range tasks {
		traceParents[i], payloads[i] = tasks[i].TraceParent, tasks[i].Payload
	}
	t := &tasks[0]
	var now time.Time
	var ids []int64
	row := s.queryRow(ctx, insertAlike, t.Contract, t.Priority, t.Queue, t.Sublane, traceParents, payloads)
	if err := row.Scan(&now, &ids); err != nil {
		return nil, err
	}
	return insertedAt(now, ids), allStored(len(ids), len(tasks))
}

// allStored is nil, or says that the table has a trigger which leaves tasks out.
// Then, outside a transaction of the caller's, the others are stored already.
func allStored(n, of int) error {
	if n == of {
		return nil
	}
	return fmt.Errorf("%d rows stored of %d", n, of)
}

// insertedAt are tasks that were inserted together. Ids come from one sequence
// in the order of the input, so sorting them restores that order.
func insertedAt(now time.Time, ids []int64) []Inserted {
	slices.Sort(ids)
	inserted := make([]Inserted, len(ids))
	for i, id := range ids {
		inserted[i] = Inserted{ID: id, EnqueuedAt: now}
	}
	return inserted
}

// insertion is the cheapest statement that inserts tasks without keys.
func insertion(tasks []NewTask) (statement string, args []any) {
	switch {
	case !allSimple(tasks):
		return inputArrays + insertFrom, columns(tasks)[:plainColumns]
	case len(tasks) == 1:
		return insertOne, tasks[0].scalars()
	}
	return insertSimple, simpleColumns(tasks)
}

// scanInserted reads ids and times of n unkeyed rows. Ids come from one
// sequence in the order of the input, so sorting them restores that order
// whatever order RETURNING chose.
func scanInserted(rows Rows, n int) ([]Inserted, error) {
	inserted := make([]Inserted, 0, n)
	for rows.Next() {
		inserted = append(inserted, Inserted{})
		one := &inserted[len(inserted)-1]
		if err := rows.Scan(&one.ID, &one.EnqueuedAt); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(inserted, func(a, b Inserted) int { return int(a.ID - b.ID) })
	return inserted, allStored(len(inserted), n)
}

// scalars are the arguments of insertOne.
func (t *NewTask) scalars() []any {
	return []any{t.Contract, t.Priority, t.Queue, t.Sublane, t.GroupKey, t.LimitKey, t.TraceParent, t.TraceState, t.Payload}
}

// simpleColumns are the arguments of insertSimple.
func simpleColumns(tasks []NewTask) []any {
	n := len(tasks)
	contracts, priorities := make([]int32, n), make([]int16, n)
	texts := make([]string, 7*n) // the columns of text, one after the other
	for i := range tasks {
		t := &tasks[i]
		contracts[i], priorities[i] = t.Contract, t.Priority
		for column, text := range [...]string{t.Queue, t.Sublane, t.GroupKey, t.LimitKey, t.TraceParent, t.TraceState, t.Payload} {
			texts[column*n+i] = text
		}
	}
	args := []any{contracts, priorities}
	for column := range slices.Chunk(texts, n) {
		args = append(args, column)
	}
	return args
}

// columns turns rows into one array a column, in the order of the input
// clauses. Only int64, int32, int16 and string slices are used, because those
// encode the same prepared and unprepared.
func columns(tasks []NewTask) []any {
	n := len(tasks)
	var (
		contracts    = make([]int32, n)
		types        = make([]string, n)
		queues       = make([]string, n)
		priorities   = make([]int16, n)
		runAts       = make([]int64, n)
		delays       = make([]int64, n)
		ttls         = make([]int64, n)
		timeouts     = make([]int64, n)
		maxAttempts  = make([]int16, n)
		payloads     = make([]string, n)
		metadata     = make([]string, n)
		traceParents = make([]string, n)
		traceStates  = make([]string, n)
		sublanes     = make([]string, n)
		groups       = make([]string, n)
		limits       = make([]string, n)
		deadlines    = make([]int64, n)
		keys         = make([]string, n)
		windows      = make([]int64, n)
	)
	for i := range tasks {
		t := &tasks[i]
		contracts[i], types[i], queues[i], priorities[i] = t.Contract, t.Type, t.Queue, t.Priority
		runAts[i], delays[i], ttls[i] = t.RunAt, t.Delay, t.TTL
		timeouts[i], maxAttempts[i] = t.Timeout, t.MaxAttempts
		payloads[i], metadata[i] = t.Payload, t.Metadata
		traceParents[i], traceStates[i], sublanes[i] = t.TraceParent, t.TraceState, t.Sublane
		groups[i], limits[i], deadlines[i] = t.GroupKey, t.LimitKey, t.Deadline
		keys[i], windows[i] = t.Key, t.WindowMicro
	}
	return []any{contracts, types, queues, priorities, runAts, delays, ttls, timeouts, maxAttempts,
		payloads, metadata, traceParents, traceStates, sublanes, groups, limits, deadlines, keys, windows}
}

// plainColumns is how many columns there are without an idempotency key's.
const plainColumns = 17
