package migrations_test

import (
	"context"
	"database/sql"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(devpg.Main(m)) }

// emptyDatabase is a fresh database without the engine's schema.
func emptyDatabase(t *testing.T) (url string) {
	t.Helper()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	template, err := server.Template(t.Context(), "empty", func(context.Context, string) error { return nil })
	require.NoError(t, err)
	url, drop, err := template.Clone(t.Context())
	require.NoError(t, err)
	t.Cleanup(drop)
	return url
}

func open(t *testing.T, url string) *bun.DB {
	t.Helper()
	sqlDB, err := sql.Open("pgx", url+"&default_query_exec_mode=exec")
	require.NoError(t, err)
	db := bun.NewDB(sqlDB, pgdialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func migrator(t *testing.T, db *bun.DB, schema string) *migrations.Migrator {
	t.Helper()
	m, err := migrations.New(db, schema)
	require.NoError(t, err)
	return m
}

func objects(t *testing.T, db *bun.DB, schema string) (n int) {
	t.Helper()
	require.NoError(t, db.NewRaw(
		"SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(?) AND relname NOT LIKE 'migration%'", schema).Scan(t.Context(), &n))
	return n
}

func TestUpDownStatus(t *testing.T) {
	t.Parallel()
	db := open(t, emptyDatabase(t))
	m := migrator(t, db, "")
	pending, err := m.Pending(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, pending)

	applied, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, pending, applied)
	status, err := m.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, status, len(applied))
	for _, one := range status {
		require.False(t, one.AppliedAt.IsZero())
	}
	again, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, again)

	require.NotZero(t, objects(t, db, "orchestrator"))
	down, err := m.Down(t.Context())
	require.NoError(t, err)
	require.Equal(t, applied, down)
	require.Zero(t, objects(t, db, "orchestrator"))
	up, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, applied, up)
}

func TestTenAtOnce(t *testing.T) {
	t.Parallel()
	url := emptyDatabase(t)
	var group errgroup.Group
	applied := make([][]string, 10)
	for i := range applied {
		m := migrator(t, open(t, url), "")
		group.Go(func() (err error) {
			applied[i], err = m.Up(t.Context())
			return err
		})
	}
	require.NoError(t, group.Wait())
	did := 0
	for _, names := range applied {
		did += len(names)
	}
	all, err := migrator(t, open(t, url), "").Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(all), did)
}

func TestSchemasLiveSideBySide(t *testing.T) {
	t.Parallel()
	db := open(t, emptyDatabase(t))
	for _, schema := range []string{"jobs", "orchestrator"} {
		_, err := migrator(t, db, schema).Up(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, objects(t, db, "jobs"), objects(t, db, "orchestrator"))
	_, err := migrator(t, db, "jobs").Down(t.Context())
	require.NoError(t, err)
	require.Zero(t, objects(t, db, "jobs"))
	require.NotZero(t, objects(t, db, "orchestrator"))
}

func TestPrintedSQLDoesTheSame(t *testing.T) {
	t.Parallel()
	byHand, byMigrator := open(t, emptyDatabase(t)), open(t, emptyDatabase(t))
	text, err := migrations.SQL("jobs", false)
	require.NoError(t, err)
	_, err = byHand.ExecContext(t.Context(), text)
	require.NoError(t, err)
	_, err = migrator(t, byMigrator, "jobs").Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, objects(t, byMigrator, "jobs"), objects(t, byHand, "jobs"))

	text, err = migrations.SQL("jobs", true)
	require.NoError(t, err)
	_, err = byHand.ExecContext(t.Context(), text)
	require.NoError(t, err)
	require.Zero(t, objects(t, byHand, "jobs"))
}

func TestBadSchemaNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Jobs", "1jobs", `a"; DROP TABLE x; --`, "a.b", "x234567890123456789012345678901234567890123"} {
		_, err := migrations.New(nil, name)
		require.ErrorContains(t, err, "schema name", name)
	}
}
