package store

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Inserting inside a transaction: tasks with idempotency keys, which take
// several statements, in one of the engine's own, and all tasks in one of the
// caller's.

// insertKeyedFrom is insertFrom for rows with idempotency keys. Keys are taken
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
    RETURNING task_type, key, task_id)` +
	insertTimedInto + `taken.task_id, ` + timedInput + `JOIN taken ON taken.task_type = timed.type AND taken.key = timed.key
RETURNING id, enqueued_at, (SELECT t.key FROM taken t WHERE t.task_id = id), (SELECT t.task_type FROM taken t WHERE t.task_id = id)`

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
	n := 0
	for rows.Next() {
		var notified *string
		if err := rows.Scan(&one.ID, &one.EnqueuedAt, &notified); err != nil {
			return one, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return one, err
	}
	return one, allStored(n, 1)
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
