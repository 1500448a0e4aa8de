package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// traced returns a client whose spans go to the recorder.
func traced(t *testing.T) (*orchestrator.Client, *tracetest.SpanRecorder, trace.Tracer) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	return orchestratortest.Client(t, orchestrator.ClientConfig{TracerProvider: provider}), spans, provider.Tracer("test")
}

// named returns the ended spans of one name, in the order in which they ended.
func named(spans *tracetest.SpanRecorder, name string) []sdktrace.ReadOnlySpan {
	var found []sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

func attributesOf(s sdktrace.ReadOnlySpan) map[attribute.Key]string {
	all := map[attribute.Key]string{}
	for _, kv := range s.Attributes() {
		all[kv.Key] = kv.Value.String()
	}
	return all
}

// A task that fails once can be followed from the caller's span over both
// attempts to the handler's own span.
func TestTraceOfARetriedTask(t *testing.T) {
	t.Parallel()
	client, spans, tracer := traced(t)
	stop := startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		_, span := tracer.Start(ctx, "handler's own")
		defer span.End()
		if task.Attempt == 1 {
			return nil, orchestrator.Code("smtp_busy")
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	ctx, request := tracer.Start(t.Context(), "POST /users")
	refs, err := client.Enqueue(ctx, []orchestrator.Request{{Definition: echo, Payload: []byte(`{}`)}})
	require.NoError(t, err)
	request.End()
	_, err = result(t, refs[0])
	require.NoError(t, err)
	stop()

	send, process, own := named(spans, "send default"), named(spans, "process default"), named(spans, "handler's own")
	require.Len(t, send, 1)
	require.Len(t, process, 2)
	require.Len(t, own, 2)

	require.Equal(t, trace.SpanKindProducer, send[0].SpanKind())
	require.Equal(t, request.SpanContext().SpanID(), send[0].Parent().SpanID())
	require.Equal(t, refs[0].ID().String(), attributesOf(send[0])["messaging.message.id"])

	first, second := process[0], process[1]
	require.Equal(t, trace.SpanKindConsumer, first.SpanKind())
	require.Equal(t, send[0].SpanContext().SpanID(), first.Parent().SpanID())
	require.Equal(t, codes.Error, first.Status().Code)
	require.Equal(t, map[attribute.Key]string{
		"messaging.system": "orchestrator", "messaging.operation.type": "process", "messaging.operation.name": "process",
		"messaging.destination.name": "default", "messaging.message.id": refs[0].ID().String(),
		"orchestrator.task.type": "test:echo", "orchestrator.task.id": refs[0].ID().String(),
		"orchestrator.task.attempt": "1", "orchestrator.task.priority": "0",
		"orchestrator.task.outcome": "retried", "error.type": "smtp_busy",
	}, attributesOf(first))

	require.False(t, second.Parent().IsValid(), "a retry is a root")
	require.NotEqual(t, first.SpanContext().TraceID(), second.SpanContext().TraceID())
	require.Len(t, second.Links(), 2)
	require.Equal(t, send[0].SpanContext().SpanID(), second.Links()[0].SpanContext.SpanID())
	require.Equal(t, first.SpanContext().SpanID(), second.Links()[1].SpanContext.SpanID())
	require.Equal(t, codes.Unset, second.Status().Code)
	require.Equal(t, "succeeded", attributesOf(second)["orchestrator.task.outcome"])
	require.Equal(t, second.SpanContext().SpanID(), own[1].Parent().SpanID())
}

func TestTraceOfAPanicHasItsStack(t *testing.T) {
	t.Parallel()
	client, spans, _ := traced(t)
	stop := startWorker(t, client, handle(echo, panickingHandler), orchestrator.WorkerConfig{})
	_, err := result(t, enqueue(t, client, echo, `{}`, orchestrator.WithMaxAttempts(1)))
	require.ErrorIs(t, err, orchestrator.CodePanic)
	stop()
	process := named(spans, "process default")
	require.Len(t, process, 1)
	require.Equal(t, "panic", attributesOf(process[0])["error.type"])
	events := process[0].Events()
	require.Len(t, events, 1)
	var stack string
	for _, kv := range events[0].Attributes {
		if kv.Key == "exception.stacktrace" {
			stack = kv.Value.AsString()
		}
	}
	require.Contains(t, stack, "panickingHandler")
}

func TestBatchIsOneSpan(t *testing.T) {
	t.Parallel()
	client, spans, _ := traced(t)
	_, err := client.Enqueue(t.Context(), []orchestrator.Request{{Definition: echo, Payload: []byte(`{}`)}, {Definition: echo, Payload: []byte(`{}`)}})
	require.NoError(t, err)
	send := named(spans, "send default")
	require.Len(t, send, 1)
	require.Equal(t, "2", attributesOf(send[0])["messaging.batch.message_count"])
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry})
	stop := startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt == 1 && string(task.Payload) == `{"fail": true}` {
			return nil, errors.New("once")
		}
		return nil, nil
	}), orchestrator.WorkerConfig{PoolSize: 3})
	for _, payload := range []string{`{}`, `{}`, `{"fail": true}`} {
		_, err := result(t, enqueue(t, client, echo, payload))
		require.NoError(t, err)
	}
	stop()
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP orchestrator_attempts_total Attempts by how they ended.
# TYPE orchestrator_attempts_total counter
orchestrator_attempts_total{outcome="cancelled",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="dead",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="expired",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="lease_lost",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="released",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="retried",queue="default",type="test:echo"} 1
orchestrator_attempts_total{outcome="snoozed",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="succeeded",queue="default",type="test:echo"} 3
# HELP orchestrator_tasks_enqueued_total Tasks taken into the queue.
# TYPE orchestrator_tasks_enqueued_total counter
orchestrator_tasks_enqueued_total{queue="default",type="test:echo"} 3
# HELP orchestrator_tasks_finished_total Tasks that ended, by their last state.
# TYPE orchestrator_tasks_finished_total counter
orchestrator_tasks_finished_total{queue="default",state="cancelled",type="test:echo"} 0
orchestrator_tasks_finished_total{queue="default",state="dead",type="test:echo"} 0
orchestrator_tasks_finished_total{queue="default",state="expired",type="test:echo"} 0
orchestrator_tasks_finished_total{queue="default",state="succeeded",type="test:echo"} 3
# HELP orchestrator_worker_busy_slots Tasks that run now.
# TYPE orchestrator_worker_busy_slots gauge
orchestrator_worker_busy_slots 0
# HELP orchestrator_worker_slots Tasks this process's workers can run at a time.
# TYPE orchestrator_worker_slots gauge
orchestrator_worker_slots 0
`), "orchestrator_attempts_total", "orchestrator_tasks_enqueued_total", "orchestrator_tasks_finished_total", "orchestrator_worker_busy_slots", "orchestrator_worker_slots"))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	count, err := testutil.GatherAndCount(registry, "orchestrator_attempt_duration_seconds", "orchestrator_queue_wait_seconds",
		"orchestrator_claim_duration_seconds", "orchestrator_finish_batch_size", "orchestrator_leader", "orchestrator_leases_lost_total")
	require.NoError(t, err)
	require.Equal(t, 6, count)
}

// Two clients of one process share the metrics of one registry.
func TestMetricsAreShared(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	for range 2 {
		enqueue(t, orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry}), echo, `{}`)
	}
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP orchestrator_tasks_enqueued_total Tasks taken into the queue.
# TYPE orchestrator_tasks_enqueued_total counter
orchestrator_tasks_enqueued_total{queue="default",type="test:echo"} 2
`), "orchestrator_tasks_enqueued_total"))
}
