package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Channel is the NOTIFY channel on which workers are told of new tasks. The
// payload is "queue priority", "queue priority sublane" or [ControlChanged].
func (s *Store) Channel() string { return s.schema + "_tasks" }

// ControlChanged is the payload that says that somebody has changed something
// a worker reads with [Store.Control].
const ControlChanged = "control"

// Only idle workers need to be told, and NOTIFY serialises commits, so a busy
// cluster must not pay for it.
const notifyIdle = `SELECT pg_notify($1, $2) WHERE EXISTS (SELECT FROM orchestrator.workers WHERE idle)`

// Notify tells idle workers about a lane, and returns false when there is none.
func (s *Store) Notify(ctx context.Context, lane string) (told bool, err error) {
	n, err := s.exec(ctx, notifyIdle, s.Channel(), lane)
	return n > 0, wrap("notify workers", err)
}

// NotifyIn does so when the caller's transaction commits.
func (s *Store) NotifyIn(ctx context.Context, tx Querier, lane string) error {
	rows, closeRows, err := tx.Query(ctx, s.text(notifyIdle), s.Channel(), lane)
	if err != nil {
		return wrap("notify workers", err)
	}
	defer closeRows()
	for rows.Next() {
	}
	return wrap("notify workers", rows.Err())
}

const notifyAll = `SELECT pg_notify($1, $2)`

// NotifyControl tells all workers, busy ones too, to read [Store.Control].
func (s *Store) NotifyControl(ctx context.Context) error {
	_, err := s.exec(ctx, notifyAll, s.Channel(), ControlChanged)
	return wrap("notify workers", err)
}

// Listen subscribes conn to the channel.
func (s *Store) Listen(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.Channel()}.Sanitize())
	return wrap("listen for tasks", err)
}
