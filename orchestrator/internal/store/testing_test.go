package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/task-orchestrator/task-orchestrator/migrations"
)

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
