package measure

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Settings are those of PostgreSQL that decide what a commit costs.
var Settings = []string{"fsync", "synchronous_commit", "synchronous_standby_names", "full_page_writes", "shared_buffers", "max_wal_size"}

// roundTrips is how often the way to the server and back is measured.
const roundTrips = 200

// server asks what server it is, and how far away.
func (r *run) server(ctx context.Context) (Server, error) {
	s := Server{Settings: map[string]string{}, Pooler: r.Client.TransactionPooler}
	db := r.client.DB()
	if err := db.NewRaw("SELECT current_setting('server_version')").Scan(ctx, &s.Version); err != nil {
		return s, err
	}
	var rows []struct{ Name, Value string }
	err := db.NewRaw("SELECT name, current_setting(name) AS value FROM unnest(ARRAY[?]) AS name", bun.List(Settings)).Scan(ctx, &rows)
	if err != nil {
		return s, err
	}
	for _, row := range rows {
		s.Settings[row.Name] = row.Value
	}
	took, err := r.repeat(ctx, "SELECT 1", roundTrips, r.share(commitShare)/4)
	if err != nil {
		return s, err
	}
	s.RoundTrip = latencyOf(took)
	return s, nil
}

// commits measures how long one connection waits for an INSERT of one row, which
// commits by itself.
func (r *run) commits(ctx context.Context) (Commit, error) {
	table := r.client.Schema() + ".commits"
	if _, err := r.client.DB().ExecContext(ctx, "CREATE TABLE "+table+" (at timestamptz NOT NULL)"); err != nil {
		return Commit{}, err
	}
	took, err := r.repeat(ctx, "INSERT INTO "+table+" (at) VALUES (now())", 0, r.share(commitShare))
	if err != nil {
		return Commit{}, err
	}
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	return Commit{Rate: rateOf(len(took), sum), Latency: latencyOf(took)}, nil
}

// repeat runs a statement on one connection, again and again until the time is
// up or, unless most is 0, that often, and returns how long each took.
func (r *run) repeat(ctx context.Context, statement string, most int, limit time.Duration) (took []time.Duration, err error) {
	conn, err := r.client.DB().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // goes back to the pool
	once := func() error { return discard(conn.QueryContext(ctx, statement)) }
	if err := once(); err != nil { // the first one learns what the table is
		return nil, err
	}
	for start := time.Now(); (most == 0 || len(took) < most) && (len(took) == 0 || time.Since(start) < limit); {
		before := time.Now()
		if err := once(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(before))
	}
	return took, nil
}

// discard reads an answer to its end.
func discard(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}
