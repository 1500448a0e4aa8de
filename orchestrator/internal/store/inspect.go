package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// TaskRow is a row of the view all_tasks: any task, live, finished or dead.
// Zero times are NULL.
type TaskRow struct {
	bun.BaseModel `bun:"table:all_tasks,alias:t"`

	ID           int64
	TaskType     string
	State        string
	Queue        string
	Priority     int16
	Attempts     int16
	MaxAttempts  int16 `bun:",nullzero"` // 0: the contract's
	RunAt        time.Time
	ScheduledFor time.Time
	EnqueuedAt   time.Time
	ExpiresAt    time.Time
	DeadlineAt   time.Time
	ClaimedAt    time.Time
	FinishedAt   time.Time
	WorkerID     int64
	Contract     int32
	Suspect      bool
	GroupKey     string
	LimitKey     string
	TraceParent  string
	Code         string
	Payload      json.RawMessage
	Metadata     json.RawMessage
	Errors       json.RawMessage
	Result       json.RawMessage
}

// The places a task can be in: the tables behind the view.
const (
	PlaceLive     = "live"
	PlaceFinished = "finished"
	PlaceDead     = "dead"
)

// TaskFilter chooses tasks. A nil slice and a zero time choose all; a slice
// that is empty but not nil chooses none.
type TaskFilter struct {
	Places         []string // leaves out whole tables, so give it whenever States do
	States         []string
	IDs            []int64
	Types          []string
	Queues         []string
	Codes          []string
	EnqueuedSince  time.Time // inclusive
	EnqueuedBefore time.Time
	FinishedSince  time.Time // inclusive
	FinishedBefore time.Time
}

// TaskByID returns one task, or sql.ErrNoRows.
func (s *Store) TaskByID(ctx context.Context, id int64) (row TaskRow, err error) {
	err = s.tasks(&row).Where("t.id = ?", id).Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, err
	}
	return row, wrap(fmt.Sprintf("look up task %d", id), err)
}

// TasksBefore returns the newest limit tasks by id, all of them below before:
// one page. Ids never change, so a task that moves between the tables while
// pages are read is neither missed nor seen twice. The primary keys of all
// three tables are merged.
func (s *Store) TasksBefore(ctx context.Context, f TaskFilter, before int64, limit int64) (rows []TaskRow, err error) {
	return rows, wrap("list tasks", s.tasksBefore(&rows, f, before, limit).Scan(ctx))
}

func (s *Store) tasksBefore(rows *[]TaskRow, f TaskFilter, before, limit int64) *bun.SelectQuery {
	return s.filter(s.tasks(rows), f).Where("t.id < ?", before).OrderExpr("t.id DESC").Limit(limit)
}

// TaskIDsAfter returns the oldest limit ids above after.
func (s *Store) TaskIDsAfter(ctx context.Context, f TaskFilter, after int64, limit int64) (ids []int64, err error) {
	q := s.filter(s.tasks((*TaskRow)(nil)), f).Column("t.id").Where("t.id > ?", after).OrderExpr("t.id").Limit(limit)
	return ids, wrap("list tasks", q.Scan(ctx, &ids))
}

// CountTasks counts what TasksBefore would list.
func (s *Store) CountTasks(ctx context.Context, f TaskFilter) (n int, err error) {
	err = s.filter(s.tasks((*TaskRow)(nil)), f).ColumnExpr("count(*)").Scan(ctx, &n)
	return n, wrap("count tasks", err)
}

// DeadBefore returns the limit dead letters that died last before a place in
// their order: one page. It walks the index tasks_dead_newest.
func (s *Store) DeadBefore(ctx context.Context, f TaskFilter, finishedAt time.Time, id int64, limit int64) (rows []TaskRow, err error) {
	return rows, wrap("list dead letters", s.deadBefore(&rows, f, finishedAt, id, limit).Scan(ctx))
}

func (s *Store) deadBefore(rows *[]TaskRow, f TaskFilter, finishedAt time.Time, id, limit int64) *bun.SelectQuery {
	f.Places = []string{PlaceDead}
	q := s.filter(s.tasks(rows), f).OrderExpr("t.finished_at DESC, t.id DESC").Limit(limit)
	if id != 0 {
		q = q.Where("(t.finished_at, t.id) < (?, ?)", finishedAt, id)
	}
	return q
}

func (s *Store) tasks(model any) *bun.SelectQuery {
	return s.db.NewSelect().Model(model).ModelTableExpr("?.all_tasks AS t", bun.Ident(s.schema))
}

func (s *Store) filter(q *bun.SelectQuery, f TaskFilter) *bun.SelectQuery {
	q = whereIn(q, "t.place", f.Places)
	q = whereIn(q, "t.state", f.States)
	q = whereIn(q, "t.id", f.IDs)
	if f.Types != nil {
		q = q.Where("t.contract = ANY (ARRAY(?))", whereIn(
			s.db.NewSelect().TableExpr("?.task_contracts AS c", bun.Ident(s.schema)).Column("c.id"), "c.task_type", f.Types))
	}
	q = whereIn(q, "t.queue", f.Queues)
	q = whereIn(q, "t.code", f.Codes)
	// What has not finished has no keep_until. Saying that history is bounded
	// by it too lets the planner leave out its older days.
	if !f.EnqueuedSince.IsZero() {
		q = q.Where("t.enqueued_at >= ?", f.EnqueuedSince).
			Where("(t.keep_until IS NULL OR t.keep_until >= ?)", f.EnqueuedSince)
	}
	if !f.EnqueuedBefore.IsZero() {
		q = q.Where("t.enqueued_at < ?", f.EnqueuedBefore)
	}
	if !f.FinishedSince.IsZero() {
		q = q.Where("t.finished_at >= ?", f.FinishedSince)
	}
	if !f.FinishedBefore.IsZero() {
		q = q.Where("t.finished_at < ?", f.FinishedBefore)
	}
	return q
}

func whereIn[T any](q *bun.SelectQuery, column string, values []T) *bun.SelectQuery {
	switch {
	case values == nil:
		return q
	case len(values) == 0:
		return q.Where("FALSE")
	}
	return q.Where("? IN (?)", bun.Safe(column), bun.List(values))
}

const maxAttemptsOf = `
SELECT c.id, coalesce((c.policy #>> '{Retry,MaxAttempts}')::smallint, 0::smallint) FROM orchestrator.task_contracts c WHERE c.id = ANY ($1::integer[])`

// MaxAttempts returns what contracts say about the attempts of their tasks; 0
// means the engine's default.
func (s *Store) MaxAttempts(ctx context.Context, contracts []int32) (map[int32]int16, error) {
	rows, err := s.query(ctx, maxAttemptsOf, contracts)
	if err != nil {
		return nil, wrap("read contracts", err)
	}
	defer rows.Close()
	byID := map[int32]int16{}
	for rows.Next() {
		var id int32
		var n int16
		if err := rows.Scan(&id, &n); err != nil {
			return nil, wrap("read contracts", err)
		}
		byID[id] = n
	}
	return byID, wrap("read contracts", rows.Err())
}

// QueueRow counts the tasks of one queue that are not finished.
type QueueRow struct {
	Queue       string
	Ready       int64
	Scheduled   int64
	Retrying    int64
	Blocked     int64
	Throttled   int64
	Running     int64
	Dead        int64
	OldestReady time.Time // run_at of the ready task that waits longest; zero: none
}

// WorkerRow is a row of the workers table.
type WorkerRow struct {
	bun.BaseModel `bun:"table:workers,alias:w"`

	ID          int64
	StartedAt   time.Time
	HeartbeatAt time.Time
	Lease       float64 // seconds
	Alive       bool
	Leader      bool
	Idle        bool
	Draining    bool
	Slots       int
	Busy        int
	PID         int `bun:"pid"`
	Host        string
	Version     string
	Queues      []string `bun:",array"`
}

// Overview is the queues and the workers at one moment.
type Overview struct {
	Now     time.Time // database time
	Queues  []QueueRow
	Workers []WorkerRow
}

// Both tables are read whole: the live one is small but for what is scheduled,
// the other grows only until somebody looks after it.
const countTasks = `
SELECT queue, sum(ready) AS ready, sum(scheduled) AS scheduled, sum(retrying) AS retrying, sum(blocked) AS blocked,
    sum(throttled) AS throttled, sum(running) AS running, sum(dead) AS dead, min(oldest_ready) AS oldest_ready
FROM (
    SELECT t.queue,
        count(*) FILTER (WHERE t.state = 0 AND t.run_at <= now()) AS ready,
        count(*) FILTER (WHERE t.state <> 1 AND t.run_at > now() AND t.attempts = 0) AS scheduled,
        count(*) FILTER (WHERE t.state <> 1 AND t.run_at > now() AND t.attempts > 0) AS retrying,
        count(*) FILTER (WHERE t.state = 2 AND t.run_at <= now()) AS blocked,
        count(*) FILTER (WHERE t.state = 3 AND t.run_at <= now()) AS throttled,
        count(*) FILTER (WHERE t.state = 1) AS running,
        0 AS dead,
        min(t.run_at) FILTER (WHERE t.state = 0 AND t.run_at <= now()) AS oldest_ready
    FROM orchestrator.tasks t GROUP BY t.queue
    UNION ALL
    SELECT d.queue, 0, 0, 0, 0, 0, 0, count(*), NULL FROM orchestrator.tasks_dead d GROUP BY d.queue
) AS counted
GROUP BY queue`

// Overview reads queues and workers in one snapshot.
func (s *Store) Overview(ctx context.Context) (o Overview, err error) {
	snapshot := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	err = s.db.RunInTx(ctx, snapshot, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw("SELECT now()").Scan(ctx, &o.Now); err != nil {
			return err
		}
		if err := tx.NewRaw(s.text(countTasks)).Scan(ctx, &o.Queues); err != nil {
			return err
		}
		return tx.NewSelect().Model(&o.Workers).ModelTableExpr("?.workers AS w", bun.Ident(s.schema)).
			Column("w.id", "w.started_at", "w.heartbeat_at", "w.idle", "w.draining", "w.slots", "w.busy", "w.pid", "w.host", "w.version", "w.queues").
			ColumnExpr("extract(epoch FROM w.lease)::float8 AS lease").
			ColumnExpr("w.heartbeat_at >= now() - w.lease AS alive").
			ColumnExpr("EXISTS (SELECT FROM ?.leader AS l WHERE l.worker_id = w.id AND l.expires_at > now()) AS leader", bun.Ident(s.schema)).
			OrderExpr("w.started_at, w.id").Scan(ctx)
	})
	return o, wrap("read the status", err)
}
