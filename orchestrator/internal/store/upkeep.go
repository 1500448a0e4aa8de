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
    WHERE t.state <> 1 AND t.expires_at <= now() ORDER BY t.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM due))
    RETURNING ` + finishedColumnsOf + `, t.limit_key, t.limit_slot, t.state <> 2 AS gives_turn)` + tell + `6::smallint AS state, g.attempts FROM gone g` + tellTo + `,
moved AS (
` + insertFinished + `
SELECT ` + keptByContract + `, ` + finishedValues + `, 6, g.attempts, NULL, g.errors
FROM gone g)` + endedByOthers

// endedByOthers completes a statement whose rows are in gone: their types and
// queues, and the turns and slots that they give up.
const endedByOthers = `
SELECT c.task_type, g.queue, CASE WHEN g.gives_turn THEN coalesce(g.group_key, '') ELSE '' END,
    CASE WHEN g.limit_slot IS NULL THEN '' ELSE g.limit_key END, coalesce(g.limit_slot, 0::smallint)
FROM gone g JOIN orchestrator.task_contracts c ON c.id = g.contract`

// Moved says how many tasks of one type and queue have been ended by somebody
// else than their worker.
type Moved struct {
	Type  string
	Queue string
	N     int
}

// Expire moves at most limit waiting tasks whose ttl has passed to history.
func (s *Store) Expire(ctx context.Context, l Leadership, limit int) (gone []Moved, h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		gone, h, err = s.end(ctx, tx, expire, limit)
		return err
	})
	return gone, h, wrap("expire tasks", err)
}

// end runs a statement that ends with endedByOthers, and hands over the turns
// and slots of the tasks that it has ended.
func (s *Store) end(ctx context.Context, tx pgx.Tx, statement string, args ...any) (all []Moved, h Handed, err error) {
	rows, err := tx.Query(ctx, s.text(statement), append([]any{s.mode}, args...)...)
	if err != nil {
		return nil, h, err
	}
	defer rows.Close()
	count := map[Moved]int{}
	var released []Released
	for rows.Next() {
		var kind Moved
		var r Released
		if err := rows.Scan(&kind.Type, &kind.Queue, &r.Group, &r.Limit, &r.Slot); err != nil {
			return nil, h, err
		}
		count[kind]++
		if r != (Released{}) {
			released = append(released, r)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, h, err
	}
	for kind, n := range count {
		kind.N = n
		all = append(all, kind)
	}
	h, err = s.releaseTurns(ctx, tx, released)
	return all, h, err
}

// Overdue is the error of a task that waited until its deadline.
const Overdue = "its deadline passed before it was its turn"

// buryOverdue uses the index tasks_overdue: no attempt of these tasks may
// start, so they need no worker to end. One that runs is its worker's to end. One
// that has its group's turn may block the group; one that waits for it does not.
const buryOverdue = `
WITH due AS MATERIALIZED (
    SELECT t.id FROM orchestrator.tasks t
    WHERE t.state <> 1 AND t.deadline_at <= now() ORDER BY t.deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY (ARRAY(SELECT id FROM due)) 
    RETURNING ` + deadColumnsOf + `, t.limit_slot, t.state <> 2 AND t.contract <> ALL ($2::integer[]) AS gives_turn,
        t.state <> 2 AND t.contract = ANY ($2::integer[]) AS blocks)` + tell + `7::smallint AS state, g.attempts FROM gone g` + tellTo + `,
moved AS (
` + insertDead + `
SELECT ` + deadValues + `, g.attempts, orchestrator.add_error(g.errors,
    jsonb_build_object('attempt', g.attempts, 'code', 'deadline', 'message', '` + Overdue + `')::text), 'deadline'
FROM gone g),
blocked AS (
    UPDATE orchestrator.groups b SET blocked_by = g.id FROM gone g WHERE b.key = g.group_key AND g.blocks)` + endedByOthers

// BuryOverdue moves at most limit waiting tasks whose deadline has passed to
// the dead letters. blocking is as in [Store.Recover].
func (s *Store) BuryOverdue(ctx context.Context, l Leadership, limit int, blocking []int32) (gone []Moved, h Handed, err error) {
	if blocking == nil {
		blocking = []int32{}
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		gone, h, err = s.end(ctx, tx, buryOverdue, limit, blocking)
		return err
	})
	return gone, h, wrap("bury overdue tasks", err)
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

const vacuumed = `
SELECT n_dead_tup, vacuum_count FROM pg_stat_user_tables WHERE relid = $1::regclass`

// vacuum goes away when somebody is at it already. If it waited, PostgreSQL would
// take it for more urgent than autovacuum, and break that off.
const vacuum = `VACUUM (SKIP_LOCKED, TRUNCATE false) orchestrator.tasks`

// Vacuum vacuums the hot table when it has at least so many dead rows, and says
// whether it did and how many there are now.
func (s *Store) Vacuum(ctx context.Context, least int64) (did bool, left int64, err error) {
	left, before, err := s.vacuumed(ctx)
	if err != nil || left < least {
		return false, left, err
	}
	if _, err := s.pool.Exec(ctx, s.text(vacuum)); err != nil {
		return false, left, wrap("vacuum the queue", err)
	}
	left, times, err := s.vacuumed(ctx)
	return times > before, left, err
}

// vacuumed is how many dead rows the hot table has, and how often it was
// vacuumed by others than autovacuum.
func (s *Store) vacuumed(ctx context.Context) (dead, times int64, err error) {
	err = s.queryRow(ctx, vacuumed, s.schema+".tasks").Scan(&dead, &times)
	return dead, times, wrap("count dead rows", err)
}

const databaseNow = `SELECT now()`

// Now is the database's time.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.queryRow(ctx, databaseNow).Scan(&now)
	return now, wrap("ask the database's time", err)
}
