package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// History is partitioned by the day on which its rows may go. No statement
// here takes a lock on the whole of it that a long reader would hold up: behind
// such a lock, every finish would wait for the reader too.

const addHistoryDays = `
SELECT orchestrator.add_history_days($1::bigint[])`

// AddHistoryDays makes the partitions of history that the next two weeks may
// need: for the retention of every stored contract, and for others.
func (s *Store) AddHistoryDays(ctx context.Context, others ...time.Duration) error {
	micros := make([]int64, len(others))
	for i, one := range others {
		micros[i] = one.Microseconds()
	}
	err := s.inLongTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, s.text(addHistoryDays), s.mode, micros)
		return err
	})
	return wrap("make partitions of history", err)
}

// NoPartition tells whether err says that history has no partition for a row.
func NoPartition(err error) bool { return SQLState(err) == "23514" }

// oldHistory finds the partitions whose day is over, and what a leader has left
// of such that was killed while it removed them: detached by half, or detached
// and not dropped. The half detached comes first: PostgreSQL detaches no other
// before it.
const oldHistory = `
SELECT c.relname::text, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname ~ '^tasks_kept_until_[0-9]{8}$'
    AND right(c.relname::text, 8) < to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
ORDER BY coalesce(i.inhdetachpending, false) DESC, c.relname`

// historyPart is a partition of history whose day is over.
type historyPart struct {
	Name     string
	Attached bool
	Half     bool // detached by half
}

// RemoveHistory drops the partitions whose day is over and returns their names,
// those too that were dropped before an error. A [Busy] error says that somebody
// reads history: later is soon enough.
func (s *Store) RemoveHistory(ctx context.Context, l Leadership) (removed []string, err error) {
	rows, err := s.query(ctx, oldHistory, s.schema)
	if err != nil {
		return nil, wrap("look for old history", err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[historyPart])
	if err != nil {
		return nil, wrap("look for old history", err)
	}
	for _, part := range parts {
		gone, err := s.removeHistory(ctx, l, part)
		if err != nil || !gone {
			return removed, wrap("remove "+part.Name, err)
		}
		removed = append(removed, part.Name)
	}
	return removed, nil
}

// removeHistory returns false when somebody else leads.
func (s *Store) removeHistory(ctx context.Context, l Leadership, part historyPart) (gone bool, err error) {
	if part.Attached {
		if leads, err := s.detachHistory(ctx, l, part); err != nil || !leads {
			return false, err
		}
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if gone, err = s.leads(ctx, tx, l); err != nil || !gone {
			return err
		}
		return s.execDDL(ctx, tx, boundLocks, "DROP TABLE IF EXISTS orchestrator."+part.Name)
	})
	return gone, err
}

const (
	// boundLocks makes a statement that cannot have its lock give up. What it
	// waits for others wait for behind it.
	boundLocks        = `SET LOCAL lock_timeout = '100ms'`
	boundSessionLocks = `SET lock_timeout = '100ms'`
	ofHistory         = "ALTER TABLE orchestrator.tasks_finished DETACH PARTITION orchestrator."
)

// detachHistory takes a partition out of history, in a way that never stands in
// the way of a finish.
//
// DETACH CONCURRENTLY does not run in a transaction, so the epoch is looked at
// just before; two leaders at it do no harm, one of them fails. For the same
// reason its lock_timeout is the session's, which must be one of its own. Behind
// a pooler in transaction mode there is no such thing as a session, and a plain
// DETACH does: it may keep finishes waiting for the 100 ms of its lock_timeout.
func (s *Store) detachHistory(ctx context.Context, l Leadership, part historyPart) (leads bool, err error) {
	detach := ofHistory + part.Name
	if part.Half {
		detach += " FINALIZE"
	}
	if part.Half || s.mode == pgx.QueryExecModeExec {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			if leads, err = s.leads(ctx, tx, l); err != nil || !leads {
				return err
			}
			return s.execDDL(ctx, tx, boundLocks, detach)
		})
		return leads, err
	}
	if leads, err = s.leadsNow(ctx, l); err != nil || !leads {
		return false, err
	}
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	return true, s.execDDL(ctx, conn, boundSessionLocks, detach+" CONCURRENTLY")
}

func (s *Store) execDDL(ctx context.Context, db interface {
	Exec(ctx context.Context, statement string, args ...any) (pgconn.CommandTag, error)
}, statements ...string,
) error {
	for _, statement := range statements {
		if _, err := db.Exec(ctx, s.text(statement)); err != nil {
			return err
		}
	}
	return nil
}

// Busy tells whether err says that a lock could not be had in its time.
func Busy(err error) bool { return SQLState(err) == "55P03" }

func (s *Store) leadsNow(ctx context.Context, l Leadership) (yes bool, err error) {
	err = s.queryRow(ctx, leads, l.Worker, l.Epoch).Scan(&yes)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return yes, err
}

// forgetDead walks the index tasks_dead_newest from its old end.
const forgetDead = `
WITH old AS MATERIALIZED (
    SELECT d.id FROM orchestrator.tasks_dead d
    WHERE d.finished_at < now() - $2 * interval '1 microsecond'
    ORDER BY d.finished_at, d.id LIMIT $1 FOR UPDATE SKIP LOCKED)
DELETE FROM orchestrator.tasks_dead d WHERE d.id = ANY (ARRAY(SELECT id FROM old))
RETURNING d.id, coalesce(d.group_key, '')`

// ForgetDead deletes at most limit dead letters that died longer than kept ago.
// A group that one of them held up goes on.
func (s *Store) ForgetDead(ctx context.Context, l Leadership, kept time.Duration, limit int) (n int64, h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		n, h, err = s.deleteDead(ctx, tx, forgetDead, limit, kept.Microseconds())
		return err
	})
	return n, h, wrap("forget dead letters", err)
}
