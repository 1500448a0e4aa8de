package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/migrations"
)

// Whoever runs the printed SQL by hand must be able to go on with the Migrator.
func TestPrintedSQLAndMigratorCanFollowEachOther(t *testing.T) {
	t.Parallel()
	db := open(t, emptyDatabase(t))
	m := migrator(t, db, "byhand")
	run := func(down bool) {
		text, err := migrations.SQL("byhand", down)
		require.NoError(t, err)
		_, err = db.DB.ExecContext(t.Context(), text)
		require.NoError(t, err)
	}
	run(false)
	pending, err := m.Pending(t.Context())
	require.NoError(t, err)
	require.Empty(t, pending)
	names, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, names)
	run(true)
	require.Zero(t, objects(t, db, "byhand"))
	applied, err := m.Up(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, applied)
	run(true)
	run(false)
	for range applied { // each is a group of its own
		taken, err := m.Down(t.Context())
		require.NoError(t, err)
		require.Len(t, taken, 1)
	}
	require.Zero(t, objects(t, db, "byhand"))
}
