package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBench(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	got := tt.run(t, "bench", "--duration", "1s", "--tasks", "50", "--slots", "5")
	require.Zero(t, got.status, got.stderr)
	require.Equal(t, `Measuring, in a schema of its own that is dropped at the end:
  server and round trip
  commits
  enqueue in batches
  drain
  pick-up
  enqueue one by one
`, got.stderr)
	const row = ` +[\d,]+( +([\d.]+ m?s|-)){2}\n`
	require.Regexp(t, `^PostgreSQL \S+.*, round trip [\d.]+ m?s
fsync off, synchronous_commit \w+(.*\n)+
MEASURED +PER SECOND +P50 +P99
commit of one row`+row+
		`enqueue one by one, 1 goroutine`+row+
		`enqueue one by one, 8 goroutines`+row+
		`enqueue one by one, 64 goroutines`+row+
		`enqueue one by one, 256 goroutines`+row+
		`enqueue in batches of 50`+row+
		`drain, 5 slots`+row+
		`enqueue until the handler starts`+row+`
fsync is off: nothing waits for the disk`, got.stdout)

	_, err := client.DB().ExecContext(t.Context(), "CREATE SCHEMA orchestrator_bench_killed")
	require.NoError(t, err)
	got = tt.run(t, "bench", "--duration", "1s", "--tasks", "50", "--json")
	require.Zero(t, got.status, got.stderr)
	require.Contains(t, got.stderr, "There is a schema orchestrator_bench_killed, of a run that goes on or was killed: DROP SCHEMA orchestrator_bench_killed CASCADE removes it.\n")
	var document map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &document))
	require.Equal(t, []string{"bulk", "commit", "drain", "enqueue", "pickup", "reading", "server"}, keys(document))
	require.Equal(t, []string{"p50_ms", "p99_ms", "per_second", "samples"}, keys(document["commit"].(map[string]any)))
}

func TestWrapped(t *testing.T) {
	t.Parallel()
	long := "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01"
	require.Equal(t, long+"\n3 4", wrapped(long+" 3 4"))
	require.Empty(t, wrapped(" "))
}
