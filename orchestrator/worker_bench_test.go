package orchestrator_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// BenchmarkWorker drains tasks of a generated type, with metrics on and traces
// that are not sampled. An operation is a task, from its claim until its end is
// durable, so what it reports of memory is what the worker allocates for a
// task, the driver included. Enqueueing is not measured.
//
//	go test ./orchestrator -run '^$' -bench 'Worker$' -benchtime 100000x
func BenchmarkWorker(b *testing.B) {
	client := orchestratortest.Client(b, orchestrator.ClientConfig{
		Registerer:     prometheus.NewRegistry(),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
	})
	const batch = 5000
	for left := b.N; left > 0; left -= batch {
		_, err := generated.EnqueueTestCountMany(b.Context(), client, make([]generated.TestCountPayload, min(left, batch)))
		require.NoError(b, err)
	}
	mux := orchestrator.NewMux()
	handler := &counter{all: make(chan struct{})}
	handler.left.Store(int64(b.N))
	generated.RegisterTestCount(mux, handler)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{PoolSize: 200}).Run(ctx)
	}()
	<-handler.all
	cancel()
	require.NoError(b, <-ended)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// counter works test:count and closes all after the last task.
type counter struct {
	left atomic.Int64
	all  chan struct{}
}

func (c *counter) HandleTestCount(context.Context, *generated.TestCountTask) error {
	if c.left.Add(-1) == 0 {
		close(c.all)
	}
	return nil
}
