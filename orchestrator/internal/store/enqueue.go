package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
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
const insertFrom = `
INSERT INTO orchestrator.tasks (
    id, run_at, scheduled_for, expires_at, deadline_at, timeout_ms, contract, state, priority, max_attempts, queue,
    sublane, group_key, limit_key, trace_parent, trace_state, payload, metadata)
SELECT id, greatest(due, now()), due, CASE WHEN ttl > 0 THEN due + ttl * interval '1 microsecond' END,
    CASE WHEN deadline > 0 THEN due + deadline * interval '1 microsecond' END,
    nullif(timeout, 0), contract, CASE WHEN group_key <> '' THEN 2 WHEN limit_key <> '' THEN 3 ELSE 0 END,
    priority, nullif(max_attempts, 0::smallint), queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
    nullif(trace_parent, ''), nullif(trace_state, ''), payload::json, nullif(metadata, '')::json
FROM (
    SELECT *, CASE WHEN run_at > 0 THEN timestamptz 'epoch' + run_at * interval '1 microsecond' ELSE now() END
        + delay * interval '1 microsecond' AS due
    FROM input) AS timed
ORDER BY ord
RETURNING id, enqueued_at`

// insertSimple and insertOne are for tasks that say nothing of when and how
// they run, which most do not: the columns of everything else have defaults,
// and each column that is sent costs something for each row. Rows of a function
// come, and draw their ids, in the order of the arrays, as nothing here joins
// or sorts them.
const (
	insertSimple = insertSimpleInto + `
SELECT contract, ` + simpleState + `, priority, queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
    nullif(trace_parent, ''), nullif(trace_state, ''), payload::json
FROM unnest($1::integer[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS x(contract, priority, queue, sublane, group_key, limit_key, trace_parent, trace_state, payload)
RETURNING id, enqueued_at`
	insertOne = insertSimpleInto + `
SELECT contract, ` + simpleState + `, priority, queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
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
INSERT INTO orchestrator.tasks (contract, state, priority, queue, sublane, group_key, limit_key, trace_parent, trace_state, payload)`
	simpleState = `CASE WHEN group_key <> '' THEN 2 WHEN limit_key <> '' THEN 3 ELSE 0 END`
)

// Simple tells of a task that says nothing of when and how it runs, and has no
// idempotency key.
func (t *NewTask) Simple() bool {
	return t.Key == "" && t.RunAt == 0 && t.Delay == 0 && t.TTL == 0 && t.Deadline == 0 && t.Timeout == 0 && t.MaxAttempts == 0 && t.Metadata == ""
}

// insertKeyedFrom does the same for rows with idempotency keys. Keys are taken
// in key order, which keeps concurrent batches from deadlocking; ids were drawn
// in the order of input, which groups depend on. A key whose window has passed
// is taken over. Rows whose key is taken are left out.
const insertKeyedFrom = `,
taken AS (
    INSERT INTO orchestrator.idempotency_keys AS k (task_type, key, task_id, expires_at)
    SELECT type, key, id, now() + "window" * interval '1 microsecond'
    FROM input ORDER BY type, key
    ON CONFLICT (task_type, key) DO UPDATE
    SET task_id = EXCLUDED.task_id, expires_at = EXCLUDED.expires_at
    WHERE k.expires_at <= now()
    RETURNING task_type, key, task_id)
INSERT INTO orchestrator.tasks (
    id, run_at, scheduled_for, expires_at, deadline_at, timeout_ms, contract, state, priority, max_attempts, queue,
    sublane, group_key, limit_key, trace_parent, trace_state, payload, metadata)
SELECT taken.task_id, greatest(due, now()), due, CASE WHEN ttl > 0 THEN due + ttl * interval '1 microsecond' END,
    CASE WHEN deadline > 0 THEN due + deadline * interval '1 microsecond' END,
    nullif(timeout, 0), contract, CASE WHEN group_key <> '' THEN 2 WHEN limit_key <> '' THEN 3 ELSE 0 END,
    priority, nullif(max_attempts, 0::smallint), queue, sublane, nullif(group_key, ''), nullif(limit_key, ''),
    nullif(trace_parent, ''), nullif(trace_state, ''), payload::json, nullif(metadata, '')::json
FROM (
    SELECT *, CASE WHEN run_at > 0 THEN timestamptz 'epoch' + run_at * interval '1 microsecond' ELSE now() END
        + delay * interval '1 microsecond' AS due
    FROM input) AS timed
JOIN taken ON taken.task_type = timed.type AND taken.key = timed.key
RETURNING id, enqueued_at, (SELECT t.key FROM taken t WHERE t.task_id = id), (SELECT t.task_type FROM taken t WHERE t.task_id = id)`

// inputArrays is for pgx, which sends arrays in binary.
const inputArrays = `WITH input AS (
    SELECT nextval('orchestrator.task_id') AS id, x.*
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
        $17::bigint[])
    WITH ORDINALITY AS x(contract, type, queue, priority, run_at, delay, ttl,
        timeout, max_attempts, payload, metadata, trace_parent, trace_state, sublane, group_key, limit_key, deadline, ord)
    ORDER BY x.ord)`

const inputKeyedArrays = `WITH input AS MATERIALIZED (
    SELECT nextval('orchestrator.task_id') AS id, x.*
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::bigint[], $18::text[], $19::bigint[])
    WITH ORDINALITY AS x(contract, type, queue, priority, run_at, delay, ttl,
        timeout, max_attempts, payload, metadata, trace_parent, trace_state, sublane, group_key, limit_key, deadline, key, "window", ord)
    ORDER BY x.ord)`

// inputJSON is for database/sql, whose drivers do not all take arrays: one
// argument, the rows as a JSON array.
const inputJSON = `WITH input AS MATERIALIZED (
    SELECT nextval('orchestrator.task_id') AS id, x.*
    FROM ROWS FROM (json_to_recordset($1::json) AS (contract integer, type text, queue text, priority smallint, run_at bigint,
        delay bigint, ttl bigint, timeout bigint, max_attempts smallint, payload text, metadata text,
        trace_parent text, trace_state text, sublane text, group_key text, limit_key text, deadline bigint, key text, "window" bigint)) WITH ORDINALITY
        AS x(contract, type, queue, priority, run_at, delay, ttl, timeout, max_attempts, payload, metadata,
        trace_parent, trace_state, sublane, group_key, limit_key, deadline, key, "window", ord)
    ORDER BY x.ord)`

// keyHolders finds who has the keys that were taken. It must be a statement
// after the insert: only a new snapshot shows what the insert waited for.
const keyHolders = `
SELECT k.task_type, k.key, k.task_id
FROM unnest($1::text[], $2::text[]) AS x(type, key)
CROSS JOIN LATERAL (
    SELECT k.task_type, k.key, k.task_id FROM orchestrator.idempotency_keys k
    WHERE k.task_type = x.type AND k.key = x.key LIMIT 1) AS k`

const keyHoldersJSON = `
SELECT k.task_type, k.key, k.task_id
FROM json_to_recordset($1::json) AS x(type text, key text)
CROSS JOIN LATERAL (
    SELECT k.task_type, k.key, k.task_id FROM orchestrator.idempotency_keys k
    WHERE k.task_type = x.type AND k.key = x.key LIMIT 1) AS k`

// Insert stores tasks without idempotency keys, all or none, durable when it
// returns.
func (s *Store) Insert(ctx context.Context, tasks []NewTask) ([]Inserted, error) {
	switch {
	case len(tasks) >= fewestCopied && allSimple(tasks):
		return s.copyIn(ctx, tasks)
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
	return insertedAt(now, ids), nil
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

// fewestCopied is from how many tasks on COPY is worth its round trips: it puts
// rows into pages many at a time, with one log record for them.
const fewestCopied = 500

const drawIDs = `SELECT now(), ARRAY(SELECT nextval('orchestrator.task_id') FROM generate_series(1, $1::integer))`

// copyIn stores simple tasks by COPY, which returns nothing: so ids are drawn
// before.
func (s *Store) copyIn(ctx context.Context, tasks []NewTask) ([]Inserted, error) {
	var now time.Time
	var ids []int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, s.text(drawIDs), s.mode, len(tasks)).Scan(&now, &ids); err != nil {
			return err
		}
		slices.Sort(ids)
		_, err := tx.CopyFrom(ctx, pgx.Identifier{s.schema, "tasks"}, copiedColumns, copying(tasks, ids))
		return err
	})
	if err != nil {
		return nil, err
	}
	return insertedAt(now, ids), nil
}

// copiedColumns are those of the rows of copying; the others have defaults.
var copiedColumns = []string{"id", "contract", "state", "priority", "queue", "sublane", "group_key", "limit_key", "trace_parent", "trace_state", "payload"}

func copying(tasks []NewTask, ids []int64) pgx.CopyFromSource {
	row := make([]any, 0, len(copiedColumns)) // one for all: CopyFrom writes each before it asks for the next
	return pgx.CopyFromSlice(len(tasks), func(i int) ([]any, error) {
		t, state := &tasks[i], StateReady
		switch {
		case t.GroupKey != "":
			state = StateBlocked
		case t.LimitKey != "":
			state = StateThrottled
		}
		row = append(row[:0], ids[i], t.Contract, state, t.Priority, t.Queue, t.Sublane, textOrNull(t.GroupKey), textOrNull(t.LimitKey),
			textOrNull(t.TraceParent), textOrNull(t.TraceState), t.Payload)
		return row, nil
	})
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
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

// InsertKeyed stores tasks, some or all with idempotency keys, in one
// transaction, durable when it returns. An error of accept, which sees the
// answers before they are committed, undoes the whole batch. It returns what
// replaced tasks have handed over.
func (s *Store) InsertKeyed(ctx context.Context, tasks []NewTask, accept func([]Inserted) error) (h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var inserted []Inserted
		if inserted, h, err = s.insertIn(ctx, arrayInserter{s, tx}, tasks); err != nil {
			return err
		}
		return accept(inserted)
	})
	return h, err
}

// InsertIn stores tasks inside the caller's transaction.
func (s *Store) InsertIn(ctx context.Context, tx Querier, tasks []NewTask) ([]Inserted, Handed, error) {
	return s.insertIn(ctx, jsonInserter{s, tx}, tasks)
}

// inserter runs the statements of an insert in one transaction; one
// implementation sends arrays, the other JSON.
type inserter interface {
	run(ctx context.Context, statement string, args ...any) (Rows, func(), error)
	plain(ctx context.Context, tasks []NewTask) (Rows, func(), error)
	keyed(ctx context.Context, tasks []NewTask) (Rows, func(), error)
	holders(ctx context.Context, tasks []NewTask) (Rows, func(), error)
}

// InsertOneIn stores a simple task inside the caller's transaction, with whose
// commit idle workers are told of the lane.
func (s *Store) InsertOneIn(ctx context.Context, tx Querier, task NewTask, lane string) (one Inserted, err error) {
	rows, closeRows, err := tx.Query(ctx, s.text(insertAndNotify), append(task.scalars(), s.Channel(), lane)...)
	if err != nil {
		return one, err
	}
	defer closeRows()
	for rows.Next() {
		var notified *string
		if err := rows.Scan(&one.ID, &one.EnqueuedAt, &notified); err != nil {
			return one, err
		}
	}
	return one, rows.Err()
}

type taskKey struct{ taskType, key string }

func (s *Store) insertIn(ctx context.Context, in inserter, tasks []NewTask) (all []Inserted, h Handed, err error) {
	var plain, keyed []NewTask
	first := map[taskKey]int{} // a key may stand in a statement once
	for _, task := range tasks {
		k := taskKey{task.Type, task.Key}
		if task.Key == "" {
			plain = append(plain, task)
			continue
		}
		task.WindowMicro = task.Window.Microseconds()
		if at, again := first[k]; again {
			keyed[at] = keyed[at].duplicate(task)
			continue
		}
		first[k] = len(keyed)
		keyed = append(keyed, task)
	}
	var plainDone []Inserted
	if len(plain) > 0 {
		rows, closeRows, err := in.plain(ctx, plain)
		if err != nil {
			return nil, h, err
		}
		defer closeRows()
		if plainDone, err = scanInserted(rows, len(plain)); err != nil {
			return nil, h, err
		}
		closeRows()
	}
	byKey, h, err := insertKeys(ctx, in, keyed)
	if err != nil {
		return nil, h, err
	}
	return inOrder(tasks, plainDone, byKey), h, nil
}

// duplicate is what t becomes by another task of the same batch with its key.
func (t NewTask) duplicate(by NewTask) NewTask {
	switch by.OnDuplicate {
	case Replace:
		by.RunAt, by.Delay = t.RunAt, t.Delay
		return by
	case Debounce:
		return by
	default:
		return t
	}
}

// inOrder puts the answers back into the order of the request. The first task
// with a key of its own is new; the others of the batch refer to it.
func inOrder(tasks []NewTask, plain []Inserted, byKey map[taskKey]Inserted) []Inserted {
	all := make([]Inserted, len(tasks))
	for i, task := range tasks {
		if task.Key == "" {
			all[i], plain = plain[0], plain[1:]
			continue
		}
		k := taskKey{task.Type, task.Key}
		all[i] = byKey[k]
		again := byKey[k]
		again.Existing = true
		byKey[k] = again
	}
	return all
}

func insertKeys(ctx context.Context, in inserter, keyed []NewTask) (byKey map[taskKey]Inserted, h Handed, err error) {
	byKey = make(map[taskKey]Inserted, len(keyed))
	var released []Released
	for len(byKey) < len(keyed) {
		missing := slices.DeleteFunc(slices.Clone(keyed), func(t NewTask) bool {
			_, done := byKey[taskKey{t.Type, t.Key}]
			return done
		})
		if err := takeKeys(ctx, in, missing, byKey); err != nil {
			return nil, h, err
		}
		more, err := replaceHolders(ctx, in, missing, byKey)
		if err != nil {
			return nil, h, err
		}
		released = append(released, more...)
		if err := findHolders(ctx, in, missing, byKey); err != nil {
			return nil, h, err
		}
		// A holder that vanished between the two statements (its key expired
		// and was swept) or that has started and is not to be replaced leaves
		// its key missing: take it in another turn.
	}
	h, err = releaseIn(ctx, in, released)
	return byKey, h, err
}

func takeKeys(ctx context.Context, in inserter, keyed []NewTask, byKey map[taskKey]Inserted) error {
	rows, closeRows, err := in.keyed(ctx, keyed)
	if err != nil {
		return err
	}
	defer closeRows()
	for rows.Next() {
		var k taskKey
		var one Inserted
		if err := rows.Scan(&one.ID, &one.EnqueuedAt, &k.key, &k.taskType); err != nil {
			return err
		}
		byKey[k] = one
	}
	return rows.Err()
}

func findHolders(ctx context.Context, in inserter, keyed []NewTask, byKey map[taskKey]Inserted) error {
	missing := slices.DeleteFunc(slices.Clone(keyed), func(t NewTask) bool {
		_, done := byKey[taskKey{t.Type, t.Key}]
		return done || t.OnDuplicate != KeepFirst
	})
	if len(missing) == 0 {
		return nil
	}
	rows, closeRows, err := in.holders(ctx, missing)
	if err != nil {
		return err
	}
	defer closeRows()
	for rows.Next() {
		var k taskKey
		one := Inserted{Existing: true}
		if err := rows.Scan(&k.taskType, &k.key, &one.ID); err != nil {
			return err
		}
		byKey[k] = one
	}
	return rows.Err()
}

type arrayInserter struct {
	*Store
	tx pgx.Tx
}

func (in arrayInserter) run(ctx context.Context, statement string, args ...any) (Rows, func(), error) {
	rows, err := in.tx.Query(ctx, in.text(statement), append([]any{in.mode}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	return rows, rows.Close, nil
}

func (in arrayInserter) plain(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	statement, args := insertion(tasks)
	return in.run(ctx, statement, args...)
}

func (in arrayInserter) keyed(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	return in.run(ctx, inputKeyedArrays+insertKeyedFrom, columns(tasks)...)
}

func (in arrayInserter) holders(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	all := columns(tasks)
	return in.run(ctx, keyHolders, all[1], all[plainColumns])
}

type jsonInserter struct {
	*Store
	tx Querier
}

func (in jsonInserter) run(ctx context.Context, statement string, args ...any) (Rows, func(), error) {
	return in.tx.Query(ctx, in.text(statement), args...)
}

func (in jsonInserter) runJSON(ctx context.Context, statement string, tasks []NewTask) (Rows, func(), error) {
	input, err := json.Marshal(tasks)
	if err != nil {
		return nil, nil, err
	}
	return in.run(ctx, statement, string(input))
}

func (in jsonInserter) plain(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	return in.runJSON(ctx, inputJSON+insertFrom, tasks)
}

func (in jsonInserter) keyed(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	return in.runJSON(ctx, inputJSON+insertKeyedFrom, tasks)
}

func (in jsonInserter) holders(ctx context.Context, tasks []NewTask) (Rows, func(), error) {
	return in.runJSON(ctx, keyHoldersJSON, tasks)
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
	slices.SortFunc(inserted, func(a, b Inserted) int { return int(a.ID - b.ID) })
	return inserted, rows.Err()
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
