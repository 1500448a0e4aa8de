package store

import (
	"context"
	"encoding/json"
	"slices"
)

// OnDuplicate says what becomes of a task whose key is taken.
type OnDuplicate int16

// What becomes of a task whose key is taken.
const (
	KeepFirst OnDuplicate = iota // the task that has the key stays as it is
	Replace                      // it becomes this one, if it waits; else this one takes the key over
	Debounce                     // so it does, and waits anew
)

// replaceWaiting makes tasks that wait, and were never claimed, into those of
// input that have their keys, ids aside. It must come after insertKeyedFrom,
// which holds the keys' rows: then nobody else gives or takes a key. A claim
// that has the row already is waited for, and wins.
//
// A task that moves, because it has to wait anew or its lane, group or limit is
// another one, gives its turn and its slot up, and goes where a new one would:
// its run_at then is ahead of all cursors. One that stays keeps its run_at.
//
// A key whose task cannot be replaced any more is set free; the next
// insertKeyedFrom of the transaction takes it.
const replaceWaiting = inputJSON + `,
held AS MATERIALIZED (
    SELECT x.*, t.id AS task_id, t.state, t.run_at AS ready_at, t.limit_slot, t.group_key AS old_group, t.limit_key AS old_limit,
        CASE WHEN $2::smallint = 2 THEN x.asked ELSE t.scheduled_for END AS due,
        $2::smallint = 2 OR (t.queue, t.sublane, t.priority, coalesce(t.group_key, ''), coalesce(t.limit_key, ''))
            IS DISTINCT FROM (x.queue, x.sublane, x.priority, x.group_key, x.limit_key) AS moves
    FROM (
        SELECT i.*, CASE WHEN i.run_at > 0 THEN timestamptz 'epoch' + i.run_at * interval '1 microsecond' ELSE now() END
            + i.delay * interval '1 microsecond' AS asked
        FROM input i) AS x
    CROSS JOIN LATERAL (
        SELECT k.task_id FROM orchestrator.idempotency_keys k WHERE k.task_type = x.type AND k.key = x.key LIMIT 1) AS k
    CROSS JOIN LATERAL (
        SELECT t.id, t.state, t.run_at, t.scheduled_for, t.limit_slot, t.queue, t.sublane, t.priority, t.group_key, t.limit_key
        FROM orchestrator.tasks t
        WHERE t.id = k.task_id AND (t.state = 1, t.claimed_at IS NULL, t.errors IS NULL) IS NOT DISTINCT FROM (false, true, true)
        ORDER BY t.id LIMIT 1 FOR UPDATE) AS t),
replaced AS (
    UPDATE orchestrator.tasks t
    SET contract = h.contract, queue = h.queue, sublane = h.sublane, priority = h.priority,
        group_key = nullif(h.group_key, ''), limit_key = nullif(h.limit_key, ''),
        max_attempts = nullif(h.max_attempts, 0::smallint), timeout_ms = nullif(h.timeout, 0),
        trace_parent = nullif(h.trace_parent, ''), trace_state = nullif(h.trace_state, ''),
        payload = h.payload::json, metadata = nullif(h.metadata, '')::json,
        scheduled_for = h.due,
        expires_at = CASE WHEN h.ttl > 0 THEN h.due + h.ttl * interval '1 microsecond' END,
        deadline_at = CASE WHEN h.deadline > 0 THEN h.due + h.deadline * interval '1 microsecond' END,
        run_at = CASE WHEN h.moves THEN greatest(h.due, now()) ELSE h.ready_at END,
        state = ` + stateOfReplaced + `, waits_for = ` + stateOfReplaced + `,
        limit_slot = CASE WHEN NOT h.moves THEN h.limit_slot END
    FROM held h
    WHERE t.id = ANY (ARRAY(SELECT task_id FROM held)) AND h.task_id = t.id),
kept AS (
    UPDATE orchestrator.idempotency_keys k
    SET expires_at = CASE WHEN h.task_id IS NULL THEN '-infinity' ELSE now() + x."window" * interval '1 microsecond' END
    FROM input x LEFT JOIN held h ON h.ord = x.ord
    WHERE k.task_type = x.type AND k.key = x.key)
SELECT h.type, h.key, h.task_id,
    CASE WHEN h.moves AND h.state <> 2 THEN coalesce(h.old_group, '') ELSE '' END,
    CASE WHEN h.moves AND h.limit_slot IS NOT NULL THEN h.old_limit ELSE '' END,
    CASE WHEN h.moves THEN coalesce(h.limit_slot, 0::smallint) ELSE 0::smallint END
FROM held h`

// stateOfReplaced is also what the task waits for.
const stateOfReplaced = `CASE WHEN NOT h.moves THEN h.state WHEN h.group_key <> '' THEN 2 WHEN h.limit_key <> '' THEN 3 ELSE 0 END`

// replaceHolders replaces the tasks that have the keys of keyed, where that is
// possible, and returns the turns and slots that they give up.
func replaceHolders(ctx context.Context, in inserter, keyed []NewTask, byKey map[taskKey]Inserted) (released []Released, err error) {
	for _, on := range []OnDuplicate{Replace, Debounce} {
		some := slices.DeleteFunc(slices.Clone(keyed), func(t NewTask) bool {
			_, done := byKey[taskKey{t.Type, t.Key}]
			return done || t.OnDuplicate != on
		})
		for part := range slices.Chunk(some, ReturnChunk) {
			more, err := replacePart(ctx, in, part, on, byKey)
			if err != nil {
				return nil, err
			}
			released = append(released, more...)
		}
	}
	return released, nil
}

func replacePart(ctx context.Context, in inserter, part []NewTask, on OnDuplicate, byKey map[taskKey]Inserted) (released []Released, err error) {
	text, err := json.Marshal(part)
	if err != nil {
		return nil, err
	}
	rows, closeRows, err := in.run(ctx, replaceWaiting, string(text), int16(on))
	if err != nil {
		return nil, err
	}
	defer closeRows()
	for rows.Next() {
		var k taskKey
		var r Released
		one := Inserted{Existing: true}
		if err := rows.Scan(&k.taskType, &k.key, &one.ID, &r.Group, &r.Limit, &r.Slot); err != nil {
			return nil, err
		}
		byKey[k] = one
		if r != (Released{}) {
			released = append(released, r)
		}
	}
	return released, rows.Err()
}

// releaseIn hands over the turns and slots that replaced tasks have given up.
func releaseIn(ctx context.Context, in inserter, released []Released) (h Handed, err error) {
	if len(released) == 0 {
		return h, nil
	}
	text, err := json.Marshal(released)
	if err != nil {
		return h, err
	}
	rows, closeRows, err := in.run(ctx, releaseJSON, string(text))
	if err != nil {
		return h, err
	}
	defer closeRows()
	err = h.read(rows)
	return h, err
}
