package devpg_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// What a test binary pays once.
func BenchmarkStartStop(b *testing.B) {
	for b.Loop() {
		s, err := devpg.Start(b.Context(), devpg.Config{})
		require.NoError(b, err)
		require.NoError(b, s.Stop())
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, mode := range []string{"on", "off"} {
		b.Run(mode, func(b *testing.B) {
			s, err := devpg.Start(b.Context(), devpg.Config{Settings: map[string]string{"synchronous_commit": mode}})
			require.NoError(b, err)
			defer s.Stop()
			conn, err := pgx.Connect(b.Context(), s.URL())
			require.NoError(b, err)
			defer conn.Close(b.Context())
			_, err = conn.Exec(b.Context(), "create table t (n int)")
			require.NoError(b, err)
			for b.Loop() {
				_, err := conn.Exec(b.Context(), "insert into t values (1)")
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkPieces(b *testing.B) {
	s, err := devpg.Start(b.Context(), devpg.Config{})
	require.NoError(b, err)
	defer s.Stop()
	b.Run("connect", func(b *testing.B) {
		for b.Loop() {
			conn, err := pgx.Connect(b.Context(), s.URL())
			require.NoError(b, err)
			conn.Close(b.Context())
		}
	})
	for _, how := range []devpg.Shutdown{devpg.Fast, devpg.Immediate} {
		b.Run(fmt.Sprint("halt", how), func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, s.Halt(how))
				b.StopTimer()
				require.NoError(b, s.Resume(b.Context()))
				b.StartTimer()
			}
		})
	}
}

// What each test pays.
func BenchmarkClone(b *testing.B) {
	s, err := devpg.Start(b.Context(), devpg.Config{})
	require.NoError(b, err)
	defer s.Stop()
	tmpl, err := s.Template(b.Context(), "bench", createT)
	require.NoError(b, err)
	for b.Loop() {
		_, drop, err := tmpl.Clone(b.Context())
		require.NoError(b, err)
		drop()
	}
}
