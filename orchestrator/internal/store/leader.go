package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Leadership is the right of one worker to do the cluster's upkeep. The epoch
// grows with every change of leader, so that one who was frozen cannot act on
// an old right.
type Leadership struct {
	Worker int64
	Epoch  int64
}

const campaign = `
INSERT INTO orchestrator.leader AS l (worker_id, epoch, expires_at)
VALUES ($1, 1, now() + $2 * interval '1 microsecond')
ON CONFLICT (only_row) DO UPDATE
SET worker_id = EXCLUDED.worker_id, expires_at = EXCLUDED.expires_at,
    epoch = CASE WHEN l.worker_id = EXCLUDED.worker_id THEN l.epoch ELSE l.epoch + 1 END
WHERE l.worker_id = EXCLUDED.worker_id OR l.expires_at < now()
RETURNING epoch`

// Campaign takes or renews leadership for term. It returns false while
// somebody else leads.
func (s *Store) Campaign(ctx context.Context, worker int64, term time.Duration) (l Leadership, leads bool, err error) {
	l.Worker = worker
	err = s.queryRow(ctx, campaign, worker, term.Microseconds()).Scan(&l.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, false, nil
	}
	return l, err == nil, wrap("campaign for leadership", err)
}

const resign = `
WITH resigned AS (
    UPDATE orchestrator.leader SET expires_at = '-infinity' WHERE worker_id = $1 RETURNING worker_id)
SELECT pg_notify($2, $3) FROM resigned`

// Resign gives up whatever leadership worker has, so that the next campaign of
// anybody wins, and tells the others.
func (s *Store) Resign(ctx context.Context, worker int64) error {
	_, err := s.exec(ctx, resign, worker, s.Channel(), ControlChanged)
	return wrap("resign leadership", err)
}

const leads = `SELECT true FROM orchestrator.leader WHERE worker_id = $1 AND epoch = $2 AND expires_at > now() FOR SHARE`

// leads guards a duty: it holds the leader row until tx ends, so the epoch
// cannot change under it.
func (s *Store) leads(ctx context.Context, tx pgx.Tx, l Leadership) (yes bool, err error) {
	err = tx.QueryRow(ctx, s.text(leads), l.Worker, l.Epoch).Scan(&yes)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return yes, err
}
