package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Progress is how far an attempt has come.
type Progress struct {
	Fence
	Attempt    int16
	Millionths int32 // done
	Message    string
}

// setProgress writes beside the task, never into its row, and takes no lock of
// that: a running task's row is for its end. So progress may be written that
// comes too late; readers do not see it and forgetProgress takes it away.
const setProgress = `
INSERT INTO orchestrator.task_progress AS p (task_id, attempt, fraction, message, updated_at)
SELECT x.id, x.attempt, x.millionths / 1e6::double precision, x.message, now()
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::integer[], $6::text[])
    AS x(id, worker, claim, attempt, millionths, message)
CROSS JOIN LATERAL (
    SELECT t.id FROM orchestrator.tasks t
    WHERE t.id = x.id AND (t.worker_id, t.claim, t.state) IS NOT DISTINCT FROM (x.worker, x.claim, 1::smallint)
    LIMIT 1) AS t
ORDER BY x.id
ON CONFLICT (task_id) DO UPDATE
SET attempt = EXCLUDED.attempt, fraction = EXCLUDED.fraction, message = EXCLUDED.message, updated_at = EXCLUDED.updated_at`

// SetProgress notes how far tasks have come whose fence holds.
func (s *Store) SetProgress(ctx context.Context, batch []Progress) error {
	n := len(batch)
	f := newFences(n)
	attempts, millionths, messages := make([]int16, n), make([]int32, n), make([]string, n)
	for i, b := range batch {
		f.set(i, b.Fence)
		attempts[i], millionths[i], messages[i] = b.Attempt, b.Millionths, b.Message
	}
	_, err := s.exec(ctx, setProgress, f.ids, f.workers, f.claims, attempts, millionths, messages)
	return wrap("write progress", err)
}

// ProgressRow is the progress of one task, as stored.
type ProgressRow struct {
	TaskID    int64
	Attempt   int16 // 0: nothing was said since the task was claimed last
	Fraction  float64
	Message   string
	UpdatedAt time.Time
}

// progressOf leaves out what was said before the last claim: it is of an
// earlier attempt, or of a task that died and was redriven.
const progressOf = `
SELECT t.id, coalesce(p.attempt, 0::smallint), coalesce(p.fraction, 0), coalesce(p.message, ''), coalesce(p.updated_at, 'epoch')
FROM unnest($1::bigint[]) AS x(id)
CROSS JOIN LATERAL (SELECT t.id, t.claimed_at FROM orchestrator.tasks t WHERE t.id = x.id LIMIT 1) AS t
LEFT JOIN orchestrator.task_progress p ON p.task_id = t.id AND p.updated_at >= t.claimed_at`

// ProgressOf returns the progress of those of the tasks that are live.
func (s *Store) ProgressOf(ctx context.Context, ids []int64) ([]ProgressRow, error) {
	rows, err := s.query(ctx, progressOf, ids)
	if err != nil {
		return nil, wrap("read progress", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ProgressRow])
	return found, wrap("read progress", err)
}

// forgetProgress asks for each task by itself: joined with tasks, it might read
// all of them.
const forgetProgress = `
DELETE FROM orchestrator.task_progress p WHERE p.task_id = ANY (ARRAY(
    SELECT o.task_id FROM orchestrator.task_progress o
    WHERE (SELECT t.id FROM orchestrator.tasks t WHERE t.id = o.task_id) IS NULL
    LIMIT $1 FOR UPDATE SKIP LOCKED))`

// ForgetProgress deletes at most limit rows whose task has ended.
func (s *Store) ForgetProgress(ctx context.Context, l Leadership, limit int) (int64, error) {
	return s.duty(ctx, l, "forget progress", forgetProgress, limit)
}
