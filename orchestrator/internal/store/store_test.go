package store

import (
	"context"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// What the engine does in transactions of its own is not compiled, whatever the
// connections of the pool have been told.
func TestTransactionsAreNotCompiled(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	_, err := s.pool.Exec(t.Context(), `SET jit = on`) // of the pool's only connection so far
	require.NoError(t, err)
	for _, run := range []func(context.Context, func(pgx.Tx) error) error{s.inTx, s.inLongTx} {
		require.NoError(t, run(t.Context(), func(tx pgx.Tx) error {
			var jit string
			require.NoError(t, tx.QueryRow(t.Context(), `SHOW jit`).Scan(&jit))
			require.Equal(t, "off", jit)
			return nil
		}))
	}
}

func TestReleasesThatRecheckPlaces(t *testing.T) {
	t.Parallel()
	for version, does := range map[int]bool{
		14_00_22: false, 15_00_14: false, 15_00_15: true, 16_00_10: false, 16_00_11: true, 17_00_06: false, 17_00_07: true, 18_00_00: false, 18_00_01: true, 19_00_00: true,
	} {
		require.Equal(t, does, rechecksPlaces(version), version)
	}
}

func TestErrorsThatLeaveTheOutcomeOpen(t *testing.T) {
	t.Parallel()
	for state, open := range map[string]bool{"08P01": true, "57P01": true, "58030": true, "57014": false, "40001": false, "23505": false} {
		require.Equal(t, open, Uncertain(wrap("finish", &pgconn.PgError{Code: state})), state)
	}
	require.True(t, Uncertain(io.ErrUnexpectedEOF))
	require.False(t, Uncertain(nil))
}
