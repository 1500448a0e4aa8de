package orchestrator_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// drained is how many tasks each round of a drain benchmark works.
const drained = 50_000

// drain enqueues that many and returns how long a worker took to work them all.
func drain(b *testing.B, client *orchestrator.Client) time.Duration {
	b.Helper()
	epoch := time.Now()
	return drainBatches(b, client, 5000, func() time.Duration { return time.Since(epoch) })
}

// drainBatches enqueues in batches of a size, and measures the draining by a
// clock of the caller's.
func drainBatches(b *testing.B, client *orchestrator.Client, size int, clock func() time.Duration) time.Duration {
	b.Helper()
	batch := make([]orchestrator.Request, size)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: []byte(`{"user_id": 1, "template": "welcome"}`)}
	}
	for range drained / len(batch) {
		_, err := client.Enqueue(b.Context(), batch)
		require.NoError(b, err)
	}
	var done atomic.Int64
	all := make(chan struct{})
	mux := orchestrator.NewMux()
	mux.Handle(echo, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		if done.Add(1) == drained {
			close(all)
		}
		return nil, nil
	}))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	began := clock()
	go func() {
		ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{PoolSize: 200}).Run(ctx)
	}()
	<-all
	cancel()
	require.NoError(b, <-ended) // the last completions are written when Run returns
	return clock() - began
}

// BenchmarkDrainBehindScheduled compares draining tasks of priority 0 with and
// without a million tasks of priority 100 that are scheduled for tomorrow, in
// alternating rounds. It reports both rates and the median of their ratios.
//
//	go test ./orchestrator -run '^$' -bench DrainBehindScheduled -benchtime 5x
func BenchmarkDrainBehindScheduled(b *testing.B) {
	alone, behind := orchestratortest.Client(b), orchestratortest.Client(b)
	require.NoError(b, tryEnqueue(b.Context(), behind, echo, `{}`)) // stores the contract
	_, err := behind.DB().ExecContext(b.Context(), `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at, scheduled_for)
		SELECT contract, 100, queue, payload, now() + interval '1 day', now() + interval '1 day'
		FROM orchestrator.tasks, generate_series(1, 1000000)`)
	require.NoError(b, err)
	drain(b, alone) // warm up
	drain(b, behind)
	var ratios, rates, ratesBehind []float64
	for b.Loop() {
		one, other := drain(b, alone), drain(b, behind)
		rates = append(rates, drained/one.Seconds())
		ratesBehind = append(ratesBehind, drained/other.Seconds())
		ratios = append(ratios, one.Seconds()/other.Seconds())
	}
	b.ReportMetric(median(rates), "tasks/s")
	b.ReportMetric(median(ratesBehind), "behind-tasks/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
