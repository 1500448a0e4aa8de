package devpg_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func shared(t *testing.T) *devpg.Server {
	t.Helper()
	s, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func scalar[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, conn.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

func createT(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE t AS SELECT 42 AS n")
	return err
}

func TestTemplateIsMigratedOnceAndClonedInParallel(t *testing.T) {
	t.Parallel()
	s := shared(t)
	var migrations atomic.Int32
	g, ctx := errgroup.WithContext(t.Context())
	for range 20 {
		g.Go(func() error {
			tmpl, err := s.Template(ctx, "parallel", func(ctx context.Context, url string) error {
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
			_, err = conn.Exec(ctx, "UPDATE t SET n = n + 1")
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, migrations.Load())
}
