//go:build unix

package orchestrator_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// BenchmarkDrainObserved compares draining with nothing on, with metrics, and
// with traces of 1 % and of all tasks, in alternating rounds on databases of
// their own. It reports this process's CPU time a task with nothing on, and for
// the others the median of what they take over that: 1.03 is 3 % more. CPU time,
// because on a machine that others use too the rates of equal rounds differ by
// more than what is looked for; and this process's, which overstates the loss of
// throughput, since PostgreSQL's share of the work stays as it is: more than
// twice this process's. The rates' own ratios are there too, as -rate: .97 is 3 %
// slower. The exporter drops what it gets: what is measured is the engine and
// the SDK.
// Enqueued is in batches of 50, each of which is a trace and is sampled or not.
//
//	go test ./orchestrator -run '^$' -bench DrainObserved -benchtime 9x
func BenchmarkDrainObserved(b *testing.B) {
	sampled := func(fraction float64) orchestrator.ClientConfig {
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(fraction))))
		b.Cleanup(func() { require.NoError(b, provider.Shutdown(context.Background())) })
		return orchestrator.ClientConfig{TracerProvider: provider}
	}
	const batch = 50
	kinds := []struct {
		name   string
		config orchestrator.ClientConfig
	}{
		{"off", orchestrator.ClientConfig{}},
		{"off-again", orchestrator.ClientConfig{}}, // how much the method itself errs
		{"metrics", orchestrator.ClientConfig{Registerer: prometheus.NewRegistry()}},
		{"traces-1%", sampled(.01)},
		{"traces-all", sampled(1)},
	}
	clients := make([]*orchestrator.Client, len(kinds))
	for i, kind := range kinds {
		clients[i] = orchestratortest.Client(b, kind.config)
		drainBatches(b, clients[i], batch, cpuTime) // warm up
	}
	var alone []float64
	ratios, rates := make([][]float64, len(kinds)), make([][]float64, len(kinds))
	for round := 0; b.Loop(); round++ {
		took, wall := make([]time.Duration, len(kinds)), make([]time.Duration, len(kinds))
		for i := range kinds {
			which := (i + round) % len(kinds) // none is always first
			var at [2]time.Time               // when the clock was read
			took[which] = drainBatches(b, clients[which], batch, func() time.Duration {
				at[0], at[1] = at[1], time.Now()
				return cpuTime()
			})
			wall[which] = at[1].Sub(at[0])
		}
		alone = append(alone, took[0].Seconds()*1e6/drained)
		for i := range kinds {
			ratios[i] = append(ratios[i], took[i].Seconds()/took[0].Seconds())
			rates[i] = append(rates[i], wall[0].Seconds()/wall[i].Seconds())
		}
	}
	b.ReportMetric(median(alone), "µs/task")
	for i, kind := range kinds[1:] {
		b.ReportMetric(median(ratios[i+1]), kind.name)
		b.ReportMetric(median(rates[i+1]), kind.name+"-rate")
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // not for this process
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
