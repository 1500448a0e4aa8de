package devpg_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func createT(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE t AS SELECT 42 AS n")
	return errors.Join(err, conn.Close(ctx))
}

func TestTemplateIsMigratedOnceAndClonedInParallel(t *testing.T) {
	t.Parallel()
	s := shared(t)
	var migrations atomic.Int32
	g, ctx := errgroup.WithContext(t.Context())
	for range 20 {
		g.Go(func() error {
			tmpl, err := s.Template(ctx, t.Name(), func(ctx context.Context, url string) error {
				migrations.Add(1)
				return createT(ctx, url)
			})
			if err != nil {
				return err
			}
			url, drop, err := tmpl.Clone(ctx)
			if err != nil {
				return err
			}
			defer drop()
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			tag, err := conn.Exec(ctx, "UPDATE t SET n = n + 1 WHERE n = 42")
			if err == nil && tag.RowsAffected() != 1 {
				err = errors.New("a clone saw another clone's update")
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, migrations.Load())
}

func TestDropEndsSessionsAndMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	s := shared(t)
	tmpl, err := s.Template(t.Context(), t.Name(), nil)
	require.NoError(t, err)
	db, drop, err := tmpl.Clone(t.Context())
	require.NoError(t, err)
	name := query1[string](t, db, "SELECT current_database()")
	conn := connect(t, db)
	drop()
	drop()
	require.Error(t, conn.Ping(t.Context()))
	require.Zero(t, query1[int](t, s.URL(), "SELECT count(*) FROM pg_database WHERE datname = $1", name))
}

func TestFailedMigrationIsDroppedAndTriedAgain(t *testing.T) {
	t.Parallel()
	s := shared(t)
	broken := errors.New("broken")
	var name string
	_, err := s.Template(t.Context(), t.Name(), func(ctx context.Context, url string) error {
		name = query1[string](t, url, "SELECT current_database()")
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, t.Name())
	require.Zero(t, query1[int](t, s.URL(), "SELECT count(*) FROM pg_database WHERE datname = $1", name))
	_, err = s.Template(t.Context(), t.Name(), createT)
	require.NoError(t, err)
}

func TestTemplateSurvivesALeakedConnection(t *testing.T) {
	t.Parallel()
	s := shared(t)
	tmpl, err := s.Template(t.Context(), t.Name(), func(ctx context.Context, url string) error {
		connect(t, url)
		return nil
	})
	require.NoError(t, err)
	_, drop, err := tmpl.Clone(t.Context())
	require.NoError(t, err)
	drop()
}

func TestConnectLeavesAGivenServerAsItWas(t *testing.T) {
	t.Parallel()
	given := start(t, devpg.Config{}.InScratch(place(t)))
	const dead = "devpg_00000000000000aa_c1" // nobody holds the lock of this run
	const stranger = "devpg_stranger"
	exec1(t, given.URL(), "CREATE DATABASE "+dead)
	exec1(t, given.URL(), "CREATE DATABASE "+stranger)
	databases := func() int {
		return query1[int](t, given.URL(), "SELECT count(*) FROM pg_database")
	}
	before := databases()

	a, err := devpg.Connect(t.Context(), given.URL())
	require.NoError(t, err)
	require.Equal(t, before-1, databases(), "the database of a dead run is swept, others are not")
	require.True(t, a.Attached())
	require.ErrorIs(t, a.Halt(devpg.Fast), devpg.ErrNotOurs)
	require.ErrorIs(t, a.Restart(t.Context(), devpg.Fast), devpg.ErrNotOurs)

	tmpl, err := a.Template(t.Context(), "given", createT)
	require.NoError(t, err)
	db, _, err := tmpl.Clone(t.Context())
	require.NoError(t, err)

	b, err := devpg.Connect(t.Context(), given.URL())
	require.NoError(t, err)
	require.NoError(t, b.Stop())
	require.Equal(t, 42, query1[int](t, db, "SELECT n FROM t"), "the database of a living run was swept")

	require.NoError(t, a.Stop())
	require.Equal(t, before-1, databases())
	require.Equal(t, 1, query1[int](t, given.URL(), "SELECT 1"))
}
