package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"
)

//go:embed *.sql
var files embed.FS

// DefaultSchema is where the engine's tables live unless configured otherwise.
const DefaultSchema = "orchestrator"

// lockKey names the advisory lock; any constant does, as long as nobody else
// in the database uses it.
const lockKey = 0x6f726368_6d696772 // "orchmigr"

// Migrator changes one database's schema.
type Migrator struct {
	db     *bun.DB
	schema string
}

// Migration is one migration and whether it has run.
type Migration struct {
	Name      string    `json:"name"`
	AppliedAt time.Time `json:"applied_at,omitzero"` // zero: not applied
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// CheckSchema returns an error unless name can be the engine's schema: lower
// case letters, digits and underscores, at most 40 of them.
func CheckSchema(name string) error {
	if !schemaName.MatchString(name) {
		return fmt.Errorf("orchestrator: schema name %q: want lower case letters, digits and underscores, starting with no digit, at most 40", name)
	}
	return nil
}

// New returns a Migrator for the schema named; "" is [DefaultSchema].
func New(db *bun.DB, schema string) (*Migrator, error) {
	if schema == "" {
		schema = DefaultSchema
	}
	if err := CheckSchema(schema); err != nil {
		return nil, err
	}
	return &Migrator{db: db, schema: schema}, nil
}

// Up applies all missing migrations and returns the names of those it applied.
// Each runs in a transaction of its own, so a failure leaves the earlier ones.
func (m *Migrator) Up(ctx context.Context) ([]string, error) {
	return m.change(ctx, (*migrate.Migrator).Migrate)
}

// Down takes back the migrations that the newest Up applied, with all their
// data, and returns their names.
func (m *Migrator) Down(ctx context.Context) ([]string, error) {
	return m.change(ctx, (*migrate.Migrator).Rollback)
}

// Status lists all migrations in order, applied or not. It changes nothing.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	var initialised bool
	err := m.db.NewRaw("SELECT to_regclass(?) IS NOT NULL", m.schema+".migrations").Scan(ctx, &initialised)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: migration status: %w", err)
	}
	known, migrator, err := m.migrator()
	if err != nil {
		return nil, err
	}
	all := known.Sorted()
	if initialised {
		if all, err = migrator.MigrationsWithStatus(ctx); err != nil {
			return nil, fmt.Errorf("orchestrator: migration status: %w", err)
		}
	}
	status := make([]Migration, len(all))
	for i, one := range all {
		status[i] = Migration{Name: one.String(), AppliedAt: one.MigratedAt}
	}
	return status, nil
}

// Pending lists the migrations that have not run.
func (m *Migrator) Pending(ctx context.Context) ([]string, error) {
	all, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	var pending []string
	for _, one := range all {
		if one.AppliedAt.IsZero() {
			pending = append(pending, one.Name)
		}
	}
	return pending, nil
}

// SQL renders all migrations, up or down, in the order in which they run. Each
// notes in the table of migrations that it was applied or taken back, as
// [Migrator.Up] and [Migrator.Down] do, so that the one can follow the other.
func SQL(schema string, down bool) (string, error) {
	if err := CheckSchema(schema); err != nil {
		return "", err
	}
	pattern := "*.up.sql"
	if down {
		pattern = "*.down.sql"
	}
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if !down {
		fmt.Fprintf(&out, notesTable, schema)
	}
	for i := range names {
		name := names[i]
		if down {
			name = names[len(names)-1-i]
		}
		text, err := template.ParseFS(files, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "-- %s\nBEGIN;\n", name)
		if err := text.Execute(&out, templateData{schema}); err != nil {
			return "", err
		}
		version, _, _ := strings.Cut(name, "_")
		note := noteApplied
		if down {
			note = noteTakenBack
		}
		fmt.Fprintf(&out, note, schema, version)
		out.WriteString("COMMIT;\n\n")
	}
	return out.String(), nil
}

// What bun/migrate does around a migration.
const (
	notesTable = `CREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.migrations (
    id bigserial PRIMARY KEY, name varchar, group_id bigint, migrated_at timestamptz NOT NULL DEFAULT current_timestamp);

`
	noteApplied   = "INSERT INTO %[1]s.migrations (name, group_id) SELECT '%[2]s', coalesce(max(group_id), 0) + 1 FROM %[1]s.migrations;\n"
	noteTakenBack = "DELETE FROM %[1]s.migrations WHERE name = '%[2]s';\n"
)

type templateData struct{ Schema string }

func (m *Migrator) migrator() (*migrate.Migrations, *migrate.Migrator, error) {
	known := migrate.NewMigrations()
	if err := known.Discover(files); err != nil {
		return nil, nil, fmt.Errorf("orchestrator: embedded migrations: %w", err)
	}
	return known, migrate.NewMigrator(m.db, known,
		migrate.WithTableName(m.schema+".migrations"),
		migrate.WithLocksTableName(m.schema+".migration_locks"),
		migrate.WithMarkAppliedOnSuccess(true),
		migrate.WithTemplateData(templateData{m.schema}),
	), nil
}

// change runs one of bun's migrating methods under the advisory lock.
func (m *Migrator) change(ctx context.Context,
	run func(*migrate.Migrator, context.Context, ...migrate.MigrationOption) (*migrate.MigrationGroup, error),
) (names []string, err error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	if _, err := m.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+m.schema); err != nil {
		return nil, fmt.Errorf("orchestrator: create schema %s: %w", m.schema, err)
	}
	_, migrator, err := m.migrator()
	if err != nil {
		return nil, err
	}
	if err := migrator.Init(ctx); err != nil {
		return nil, fmt.Errorf("orchestrator: migration tables: %w", err)
	}
	group, err := run(migrator, ctx)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: migrate: %w", err)
	}
	for _, one := range group.Migrations {
		names = append(names, one.String())
	}
	return names, nil
}

// lock takes the advisory lock inside a transaction on a connection of its
// own: a transaction, because a pooler in transaction mode would otherwise
// give the lock and the unlock to different connections.
func (m *Migrator) lock(ctx context.Context) (unlock func() error, err error) {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: migration lock: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", int64(lockKey)); err != nil {
		return nil, errors.Join(fmt.Errorf("orchestrator: migration lock: %w", err), tx.Rollback())
	}
	return tx.Rollback, nil
}
