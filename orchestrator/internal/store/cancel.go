package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// moveCancelled follows on "chosen": it moves those rows to history, each with
// the reason as its last error, and forgets requests for them.
const moveCancelled = `,
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING ` + finishedColumnsOf + `, t.limit_key, t.limit_slot, t.state <> 2 AS gives_turn)` + tell + `5::smallint AS state, g.attempts FROM gone g` + tellTo + `,
moved AS (
` + insertFinished + `
SELECT ` + keptByContract + `, ` + finishedValues + `, 5, g.attempts, NULL,
    orchestrator.add_error(g.errors, jsonb_build_object('attempt', g.attempts, 'code', 'cancelled', 'message', x.reason)::text)
` + joinBack + `),
unasked AS (
    DELETE FROM orchestrator.cancel_requests r WHERE r.task_id = ANY (ARRAY(SELECT id FROM chosen)))` + endedByOthers

// cancelWaiting finds rows by their primary key. What somebody has locked is
// about to be claimed or has ended.
const cancelWaiting = `
WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[]) AS x(id, reason)),
chosen AS MATERIALIZED (
    SELECT t.id FROM x CROSS JOIN LATERAL (
        SELECT t.id FROM orchestrator.tasks t WHERE t.id = x.id AND t.state <> 1
        ORDER BY t.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS t)` + moveCancelled

// cancelLost is for the rows that recovery has locked.
const cancelLost = `
WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[]) AS x(id, reason)),
chosen AS MATERIALIZED (SELECT x.id FROM x)` + moveCancelled

const requestCancel = `
WITH live AS MATERIALIZED (
    SELECT t.id FROM unnest($1::bigint[]) AS x(id) CROSS JOIN LATERAL (
        SELECT t.id FROM orchestrator.tasks t WHERE t.id = x.id LIMIT 1) AS t),
asked AS (
    INSERT INTO orchestrator.cancel_requests (task_id, reason) SELECT l.id, $2 FROM live l ORDER BY l.id
    ON CONFLICT (task_id) DO NOTHING)
SELECT count(*) FROM live`

func repeated(reason string, n int) []string {
	reasons := make([]string, n)
	for i := range reasons {
		reasons[i] = reason
	}
	return reasons
}

// CancelBatch ends those of the tasks that wait, with waiting, and requests
// the end of the others that are live, with running. Ids must be sorted. A
// waiting task that somebody else is changing counts as running: whoever has
// it then finds the request.
func (s *Store) CancelBatch(ctx context.Context, ids []int64, reason string, waiting, running bool) (gone []Moved, requested int, h Handed, err error) {
	err = s.inTxWithHistory(ctx, func(tx pgx.Tx) error {
		if waiting {
			if gone, h, err = s.end(ctx, tx, cancelWaiting, ids, repeated(reason, len(ids))); err != nil {
				return err
			}
		}
		if running {
			return tx.QueryRow(ctx, s.text(requestCancel), ids, reason).Scan(&requested)
		}
		return nil
	})
	return gone, requested, h, wrap("cancel tasks", err)
}

// inTxWithHistory is inTx for what moves tasks to history: it makes partitions
// that are missing and tries again.
func (s *Store) inTxWithHistory(ctx context.Context, do func(tx pgx.Tx) error) error {
	err := s.inTx(ctx, do)
	if NoPartition(err) {
		if err := s.AddHistoryDays(ctx); err != nil {
			return err
		}
		err = s.inTx(ctx, do)
	}
	return err
}

const lockTask = `SELECT t.id FROM orchestrator.tasks t WHERE t.id = $1 FOR UPDATE`

// lockBriefly is how long a single task that somebody else is changing is
// waited for.
const lockBriefly = `SET LOCAL lock_timeout = '1s'`

// CancelOne is CancelBatch for one task. It waits a moment for who is changing
// it, so that the answer is what then holds. Nothing in both answers says that
// the task is not live.
func (s *Store) CancelOne(ctx context.Context, id int64, reason string) (gone []Moved, requested bool, h Handed, err error) {
	lock := func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockBriefly); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, s.text(lockTask), id)
		return err
	}
	cancel := func(tx pgx.Tx) error {
		if gone, h, err = s.end(ctx, tx, cancelWaiting, []int64{id}, []string{reason}); err != nil || len(gone) > 0 {
			return err
		}
		var n int
		err := tx.QueryRow(ctx, s.text(requestCancel), []int64{id}, reason).Scan(&n)
		requested = n > 0
		return err
	}
	err = s.inTxWithHistory(ctx, func(tx pgx.Tx) error {
		if err := lock(tx); err != nil {
			return err
		}
		return cancel(tx)
	})
	if SQLState(err) == "55P03" { // lock_not_available
		err = s.inTxWithHistory(ctx, cancel)
	}
	return gone, requested, h, wrap("cancel the task", err)
}

// settledRequests are those whose task nobody runs: it has ended, or waits for
// another attempt. Tasks are looked up by their primary key.
const settledRequests = `
SELECT r.task_id, r.reason, t.state IS NOT NULL
FROM orchestrator.cancel_requests r LEFT JOIN LATERAL (
    SELECT t.state FROM orchestrator.tasks t WHERE t.id = r.task_id LIMIT 1) AS t ON true
WHERE t.state IS DISTINCT FROM 1
ORDER BY r.task_id LIMIT $1
FOR UPDATE OF r SKIP LOCKED`

const forgetRequests = `DELETE FROM orchestrator.cancel_requests r WHERE r.task_id = ANY ($1::bigint[])`

// SettleCancelled ends tasks that went back to the queue with a cancel request
// upon them, and deletes requests for tasks that have ended; at most limit. It
// does nothing unless the leader still holds the epoch.
func (s *Store) SettleCancelled(ctx context.Context, l Leadership, limit int) (gone []Moved, settled int, h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		rows, err := tx.Query(ctx, s.text(settledRequests), limit)
		if err != nil {
			return err
		}
		var waiting, ended []int64
		var reasons []string
		for rows.Next() {
			var id int64
			var reason string
			var live bool
			if err := rows.Scan(&id, &reason, &live); err != nil {
				rows.Close()
				return err
			}
			if live {
				waiting, reasons = append(waiting, id), append(reasons, reason)
			} else {
				ended = append(ended, id)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		settled = len(waiting) + len(ended)
		if len(waiting) > 0 {
			if gone, h, err = s.end(ctx, tx, cancelWaiting, waiting, reasons); err != nil {
				return err
			}
		}
		if len(ended) > 0 {
			_, err = tx.Exec(ctx, s.text(forgetRequests), ended)
		}
		return err
	})
	return gone, settled, h, wrap("settle cancel requests", err)
}
