package orchestrator_test

import (
	"context"
	"fmt"
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
	return drainOf(b, client, echo, drained, size, nil, clock)
}

// drainOf drains total tasks of d; groupOf names the group of each.
func drainOf(
	b *testing.B, client *orchestrator.Client, d *orchestrator.Definition, total, size int, groupOf func(i int) string, clock func() time.Duration,
) time.Duration {
	b.Helper()
	batch := make([]orchestrator.Request, size)
	for from := 0; from < total; from += size {
		for i := range batch {
			batch[i] = orchestrator.Request{Definition: d, Payload: []byte(`{"user_id": 1, "template": "welcome"}`)}
			if groupOf != nil {
				batch[i].GroupKey = groupOf(from + i)
			}
		}
		_, err := client.Enqueue(b.Context(), batch)
		require.NoError(b, err)
	}
	var done atomic.Int64
	all := make(chan struct{})
	mux := orchestrator.NewMux()
	mux.Handle(d, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		if done.Add(1) == int64(total) {
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

// BenchmarkDrainGroups compares draining 100,000 tasks without groups, over
// 10,000 groups, and over 10 groups, in alternating rounds of one run. It
// reports the rates and the medians of their ratios to the first.
//
//	go test ./orchestrator -run '^$' -bench DrainGroups -benchtime 3x -timeout 30m
func BenchmarkDrainGroups(b *testing.B) {
	const total = 100_000
	grouped := ledger("")
	client := orchestratortest.Client(b)
	epoch := time.Now()
	round := func(groups int) float64 {
		d, groupOf := grouped, func(i int) string { return fmt.Sprintf("[%d]", i%groups) }
		if groups == 0 {
			d, groupOf = echo, nil
		}
		took := drainOf(b, client, d, total, 5000, groupOf, func() time.Duration { return time.Since(epoch) })
		return total / took.Seconds()
	}
	round(0) // warm up
	round(10_000)
	var plain, many, hot, manyRatio, hotRatio []float64
	for b.Loop() {
		plain, many, hot = append(plain, round(0)), append(many, round(10_000)), append(hot, round(10))
		last := len(plain) - 1
		manyRatio, hotRatio = append(manyRatio, many[last]/plain[last]), append(hotRatio, hot[last]/plain[last])
	}
	b.ReportMetric(median(plain), "tasks/s")
	b.ReportMetric(median(many), "10k-groups-tasks/s")
	b.ReportMetric(median(manyRatio), "10k-groups-ratio")
	b.ReportMetric(median(hot), "10-groups-tasks/s")
	b.ReportMetric(median(hotRatio), "10-groups-ratio")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
