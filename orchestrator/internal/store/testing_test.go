package store

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// cloned is the URL of a database of the test's own with the engine's tables.
func cloned(t testing.TB) string {
	t.Helper()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	template, err := server.Template(t.Context(), "store", migrateByHand)
	require.NoError(t, err)
	url, drop, err := template.Clone(t.Context())
	require.NoError(t, err)
	t.Cleanup(drop)
	return url
}

// migrated returns a store on a database of its own.
func migrated(t testing.TB) *Store {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), cloned(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return New(pool, nil, "orchestrator", false)
}

// migrateByHand makes the engine's tables without the engine, which imports
// this package.
func migrateByHand(ctx context.Context, url string) error {
	text, err := migrations.SQL(migrations.DefaultSchema, false)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, text)
	return err
}
