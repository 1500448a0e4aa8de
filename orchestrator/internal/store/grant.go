package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

const lockQueue = `SELECT coalesce(q.total, 0) FROM orchestrator.queues q WHERE q.name = $1 FOR UPDATE`

const addQueue = `INSERT INTO orchestrator.queues (name) VALUES ($1) ON CONFLICT (name) DO NOTHING`

// readShares comes after the lock, in a statement of its own: the snapshot of
// the one that waited for the lock is older than what it waited for.
const readShares = `
SELECT w.id, w.slots, w.heartbeat_at >= now() - w.lease AND NOT w.draining, coalesce(g.granted, 0), coalesce(g.wanted, 0)
FROM orchestrator.workers w LEFT JOIN orchestrator.queue_grants g ON g.worker_id = w.id AND g.queue = $1
WHERE $1 = ANY (w.queues) OR g.granted > 0
ORDER BY w.id`

const setGrant = `
INSERT INTO orchestrator.queue_grants (queue, worker_id, granted, wanted)
SELECT $1, w.id, $3, $4 FROM orchestrator.workers w WHERE w.id = $2 FOR KEY SHARE
ON CONFLICT (queue, worker_id) DO UPDATE SET granted = EXCLUDED.granted, wanted = EXCLUDED.wanted`

// Regrant lets decide say how many tasks of a queue with a total worker may
// run, given the total that was set at run time (0: none) and all workers'
// shares. Nobody else changes the queue's grants meanwhile. It returns false
// when the worker is not registered (any more).
func (s *Store) Regrant(ctx context.Context, queue string, worker int64, decide func(total int, shares []Share) (granted, wanted int)) (done bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var total int
		err := tx.QueryRow(ctx, s.text(lockQueue), queue).Scan(&total)
		if errors.Is(err, pgx.ErrNoRows) {
			if _, err = tx.Exec(ctx, s.text(addQueue), queue); err != nil {
				return err
			}
			err = tx.QueryRow(ctx, s.text(lockQueue), queue).Scan(&total)
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, s.text(readShares), queue)
		if err != nil {
			return err
		}
		shares, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (one Share, err error) {
			one.Queue = queue
			return one, row.Scan(&one.Worker, &one.Slots, &one.Taking, &one.Granted, &one.Wanted)
		})
		if err != nil {
			return err
		}
		granted, wanted := decide(total, shares)
		tag, err := tx.Exec(ctx, s.text(setGrant), queue, worker, granted, wanted)
		done = tag.RowsAffected() == 1
		return err
	})
	return done, wrap("share out queue "+queue, err)
}

const dropGrant = `DELETE FROM orchestrator.queue_grants g WHERE g.queue = $1 AND g.worker_id = $2`

// DropGrant gives a worker's share of a queue up.
func (s *Store) DropGrant(ctx context.Context, queue string, worker int64) error {
	_, err := s.exec(ctx, dropGrant, queue, worker)
	return wrap("give up the share of queue "+queue, err)
}
