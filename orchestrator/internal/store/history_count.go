package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// FinishedCount is how many finished tasks there are still in history.
type FinishedCount struct {
	Succeeded int64
	Cancelled int64
	Expired   int64
	Estimated bool
}

const historySize = `
SELECT (coalesce(sum(pg_relation_size(i.inhrelid)), 0) / current_setting('block_size')::bigint)::bigint
FROM pg_inherits i WHERE i.inhparent = 'orchestrator.tasks_finished'::regclass`

const sampleFinished = `
SELECT f.state, count(*) FROM orchestrator.tasks_finished f TABLESAMPLE SYSTEM ($1) GROUP BY f.state`

// CountFinished counts history by state. In a history of more than samplePages
// it estimates, so that it costs the same whatever is kept.
func (s *Store) CountFinished(ctx context.Context) (FinishedCount, error) {
	return s.countFinished(ctx, samplePages)
}

func (s *Store) countFinished(ctx context.Context, samplePages int64) (n FinishedCount, err error) {
	err = s.byIndex(ctx, func(tx pgx.Tx) error {
		var pages int64
		if err := tx.QueryRow(ctx, s.text(historySize)).Scan(&pages); err != nil {
			return err
		}
		read := percent(pages, samplePages)
		n.Estimated = read < 100
		rows, err := tx.Query(ctx, s.text(sampleFinished), read)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var state int16
			var sampled int64
			if err := rows.Scan(&state, &sampled); err != nil {
				return err
			}
			switch total := scaled(sampled, read); state {
			case StateSucceeded:
				n.Succeeded = total
			case StateCancelled:
				n.Cancelled = total
			case StateExpired:
				n.Expired = total
			}
		}
		return rows.Err()
	})
	return n, wrap("count finished tasks", err)
}
