package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// expire uses the index tasks_expiring: tasks that nobody claims expire too.
const expire = `
WITH due AS MATERIALIZED (
    SELECT t.id FROM orchestrator.tasks t
    WHERE t.state = 0 AND t.expires_at <= now() ORDER BY t.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM due)) RETURNING ` + finishedColumnsOf + `),
moved AS (
` + insertFinished + `
SELECT ` + keptByContract + `, ` + finishedValues + `, 6, g.attempts, NULL, g.errors
FROM gone g
RETURNING contract, queue)` + countMoved

// Moved says how many tasks of one type and queue a statement of the leader's
// has ended.
type Moved struct {
	Type  string
	Queue string
	N     int
}

// countMoved completes a statement whose rows are in moved.
const countMoved = `
SELECT c.task_type, m.queue, count(*) FROM moved m JOIN orchestrator.task_contracts c ON c.id = m.contract
GROUP BY c.task_type, m.queue`

// Expire moves at most limit waiting tasks whose ttl has passed to history.
func (s *Store) Expire(ctx context.Context, l Leadership, limit int) (gone []Moved, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		gone, err = s.moved(ctx, tx, expire, limit)
		return err
	})
	return gone, wrap("expire tasks", err)
}

func (s *Store) moved(ctx context.Context, tx pgx.Tx, statement string, args ...any) ([]Moved, error) {
	rows, err := tx.Query(ctx, s.text(statement), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Moved])
}

const forgetKeys = `
DELETE FROM orchestrator.idempotency_keys k WHERE (k.task_type, k.key) IN (
    SELECT o.task_type, o.key FROM orchestrator.idempotency_keys o
    WHERE o.expires_at <= now() ORDER BY o.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)`

// ForgetKeys deletes at most limit idempotency keys whose window has passed.
func (s *Store) ForgetKeys(ctx context.Context, l Leadership, limit int) (int64, error) {
	return s.duty(ctx, l, "forget idempotency keys", forgetKeys, limit)
}

// PadTasks sees to it that the queue's table is not so small that the planner
// would read it whole; a restored or truncated one may be.
func (s *Store) PadTasks(ctx context.Context) error {
	_, err := s.exec(ctx, `SELECT orchestrator.pad_tasks()`)
	return wrap("pad the queue's table", err)
}

func (s *Store) duty(ctx context.Context, l Leadership, doing, statement string, limit int) (n int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		tag, err := tx.Exec(ctx, s.text(statement), limit)
		n = tag.RowsAffected()
		return err
	})
	return n, wrap(doing, err)
}

const deadRows = `
SELECT coalesce(n_dead_tup, 0) FROM pg_stat_user_tables WHERE relid = $1::regclass`

// Vacuum vacuums the hot table when it has at least threshold dead rows, and
// says whether it did. Autovacuum looks once a minute, in which a busy queue
// grows by millions of dead rows.
func (s *Store) Vacuum(ctx context.Context, threshold int64) (bool, error) {
	var dead int64
	if err := s.queryRow(ctx, deadRows, s.schema+".tasks").Scan(&dead); err != nil {
		return false, wrap("count dead rows", err)
	}
	if dead < threshold {
		return false, nil
	}
	_, err := s.pool.Exec(ctx, s.text("VACUUM (TRUNCATE false) orchestrator.tasks"))
	return err == nil, wrap("vacuum the queue", err)
}

const databaseNow = `SELECT now()`

// Now is the database's time.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.queryRow(ctx, databaseNow).Scan(&now)
	return now, wrap("ask the database's time", err)
}
