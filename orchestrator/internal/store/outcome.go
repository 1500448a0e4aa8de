package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Outcome is how far a task has come.
type Outcome struct {
	ID       int64
	Type     string
	State    int16
	Attempts int16
	Result   []byte // JSON, nil for none
	Code     string // of the last error, or why the task is dead
	Message  string
}

// liveOf finds those that have not ended. Most questions are about such, and
// history has hundreds of partitions where tasks are kept for a year.
const liveOf = `
SELECT t.id, t.state FROM unnest($1::bigint[]) AS x(id)
CROSS JOIN LATERAL (SELECT t.id, t.state FROM orchestrator.tasks t WHERE t.id = x.id LIMIT 1) AS t`

// outcomes reads all three tables in one snapshot, so a task that moves
// meanwhile is seen once. What was enqueued after $2 is kept until later than
// that, so the older days of history are left out.
const outcomes = `
WITH x AS (SELECT * FROM unnest($1::bigint[]) AS x(id)),
found AS (
    SELECT t.id, t.contract, t.state, t.attempts, NULL::json AS result, t.errors, NULL AS code
    FROM x CROSS JOIN LATERAL (SELECT * FROM orchestrator.tasks t WHERE t.id = x.id LIMIT 1) AS t
    UNION ALL
    SELECT t.id, t.contract, t.state, t.attempts, t.result, t.errors, NULL
    FROM x CROSS JOIN LATERAL (
        SELECT * FROM orchestrator.tasks_finished t
        WHERE t.id = x.id AND t.keep_until >= $2 LIMIT 1) AS t
    UNION ALL
    SELECT t.id, t.contract, 7::smallint, t.attempts, NULL, t.errors, t.code
    FROM x CROSS JOIN LATERAL (SELECT * FROM orchestrator.tasks_dead t WHERE t.id = x.id LIMIT 1) AS t)
SELECT f.id, c.task_type, f.state, f.attempts, f.result, coalesce(f.code, f.errors -> -1 ->> 'code', ''),
    coalesce(f.errors -> -1 ->> 'message', '')
FROM found f JOIN orchestrator.task_contracts c ON c.id = f.contract`

// Outcomes returns what is known of the tasks; one that is not in the database
// is left out. Of one that has not ended, only its id and state may be known.
// Nothing that finished before since is found.
func (s *Store) Outcomes(ctx context.Context, ids []int64, since time.Time) (found []Outcome, err error) {
	found, err = s.outcomes(ctx, found, func(rows pgx.Rows, o *Outcome) error {
		return rows.Scan(&o.ID, &o.State)
	}, liveOf, ids)
	if err != nil {
		return nil, err
	}
	live := make(map[int64]bool, len(found))
	for _, o := range found {
		live[o.ID] = true
	}
	ended := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return live[id] })
	if len(ended) == 0 {
		return found, nil
	}
	// What was not live then may be now: a dead letter that was redriven. So
	// all tables are asked for it, in a snapshot of their own.
	return s.outcomes(ctx, found, func(rows pgx.Rows, o *Outcome) error {
		return rows.Scan(&o.ID, &o.Type, &o.State, &o.Attempts, &o.Result, &o.Code, &o.Message)
	}, outcomes, ended, since)
}

func (s *Store) outcomes(ctx context.Context, found []Outcome, scan func(pgx.Rows, *Outcome) error, statement string, args ...any) ([]Outcome, error) {
	rows, err := s.query(ctx, statement, args...)
	if err != nil {
		return nil, wrap("read results", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Outcome
		if err := scan(rows, &o); err != nil {
			return nil, wrap("read results", err)
		}
		found = append(found, o)
	}
	return found, wrap("read results", rows.Err())
}
