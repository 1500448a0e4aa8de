package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// A worker must come up, and a leader do its duty, whatever statement_timeout
// the database has and however busy it is.
func TestPartitionsAreMadeForAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	config := s.pool.Config()
	config.ConnConfig.RuntimeParams["statement_timeout"] = "50ms"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	hurried := New(pool, nil, "orchestrator", false)
	const hundredDays = 100 * 24 * time.Hour
	const missing = `SELECT to_regclass('orchestrator.tasks_kept_until_' || to_char((now() + interval '100 days') AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL`
	require.True(t, queried[bool](t, s, missing))

	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE orchestrator.tasks_finished`)
	require.NoError(t, err)
	made := make(chan error, 1)
	go func() { made <- hurried.AddHistoryDays(t.Context(), hundredDays) }()
	require.Eventually(t, func() bool {
		return len(made) > 0 || queried[bool](t, s, `
			SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE wait_event_type = 'Lock' AND datname = current_database() AND query_start < clock_timestamp() - interval '200 ms')`)
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-made)
	require.False(t, queried[bool](t, s, missing))
}
