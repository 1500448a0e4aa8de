package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
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
orchestrator_attempts_total{outcome="dead",queue="default",type="test:echo"} 0
orchestrator_attempts_total{outcome="retried",queue="default",type="test:echo"} 1
orchestrator_attempts_total{outcome="succeeded",queue="default",type="test:echo"} 3
# HELP orchestrator_tasks_enqueued_total Tasks taken into the queue.
# TYPE orchestrator_tasks_enqueued_total counter
orchestrator_tasks_enqueued_total{queue="default",type="test:echo"} 3
# HELP orchestrator_tasks_finished_total Tasks that ended, by their last state.
# TYPE orchestrator_tasks_finished_total counter
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

func TestReceiveSpansOfClaimsThatReturnTasks(t *testing.T) {
	t.Parallel()
	client, spans, tracer := traced(t)
	ctx, request := tracer.Start(t.Context(), "POST /users")
	refs, err := client.Enqueue(ctx, []orchestrator.Request{{Definition: echo, Payload: []byte(`{}`)}, {Definition: echo, Payload: []byte(`{}`)}})
	require.NoError(t, err)
	request.End()
	stop := startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	for _, ref := range refs {
		_, err = result(t, ref)
		require.NoError(t, err)
	}
	stop()
	receive := named(spans, "receive default")
	require.NotEmpty(t, receive)
	messages := 0
	for _, span := range receive {
		require.False(t, span.Parent().IsValid())
		require.Equal(t, trace.SpanKindClient, span.SpanKind())
		require.Equal(t, "receive", attributesOf(span)["messaging.operation.type"])
		for _, link := range span.Links() {
			require.Equal(t, request.SpanContext().TraceID(), link.SpanContext.TraceID())
			messages++
		}
	}
	require.Equal(t, 2, messages, "one link a task, and no span of an empty claim")
}

func TestRetriesInOneTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	client := orchestratortest.Client(t, orchestrator.ClientConfig{TracerProvider: provider, RetrySpans: orchestrator.RetriesInTrace})
	stop := startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt == 1 {
			return nil, errors.New("once")
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	_, err := result(t, enqueue(t, client, echo, `{}`))
	require.NoError(t, err)
	stop()
	send, process := named(spans, "send default"), named(spans, "process default")
	require.Len(t, process, 2)
	for _, span := range process {
		require.Equal(t, send[0].SpanContext().SpanID(), span.Parent().SpanID())
	}
	require.Equal(t, process[0].SpanContext().SpanID(), process[1].Links()[0].SpanContext.SpanID())

	_, err = orchestrator.NewClient(nil, orchestrator.ClientConfig{RetrySpans: "elsewhere"})
	require.ErrorContains(t, err, "RetriesInTrace")
}

// A dead letter that is put back begins a trace of its own, linked to the one
// in which it died.
func TestTraceOfARedrivenTask(t *testing.T) {
	t.Parallel()
	client, spans, _ := traced(t)
	var mended atomic.Bool
	stop := startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		if !mended.Load() {
			return nil, orchestrator.Permanent(errors.New("no such account"))
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`)
	_, err := result(t, ref)
	require.Error(t, err)
	mended.Store(true)
	_, err = client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	_, err = result(t, client.Lookup(echo, ref.ID()))
	require.NoError(t, err)
	stop()
	process := named(spans, "process default")
	require.Len(t, process, 2)
	require.Equal(t, "dead", attributesOf(process[0])["orchestrator.task.outcome"])
	require.False(t, process[1].Parent().IsValid())
	require.Equal(t, "1", attributesOf(process[1])["orchestrator.task.attempt"])
	require.Equal(t, process[0].SpanContext().SpanID(), process[1].Links()[1].SpanContext.SpanID())
}

// Ends that look alike from outside are told apart by the outcome, and only
// failures are errors.
func TestOutcomesOfSpans(t *testing.T) {
	t.Parallel()
	client, spans, _ := traced(t)
	var calls atomic.Int32
	expired := enqueue(t, client, echo, `{}`, orchestrator.WithRunAt(time.Now().Add(-time.Hour)), orchestrator.WithTTL(time.Minute))
	running := make(chan struct{})
	stop := startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		switch string(task.Payload) {
		case `{"do": "snooze"}`:
			if calls.Add(1) == 1 {
				return nil, orchestrator.Snooze(time.Millisecond)
			}
		case `{"do": "cancel"}`:
			return nil, orchestrator.Cancel(errors.New("withdrawn"))
		case `{"do": "hang"}`:
			close(running)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, nil
	}), orchestrator.WorkerConfig{ShutdownTimeout: time.Millisecond})
	_, _ = result(t, expired)
	_, err := result(t, enqueue(t, client, echo, `{"do": "snooze"}`))
	require.NoError(t, err)
	_, err = result(t, enqueue(t, client, echo, `{"do": "cancel"}`))
	require.Error(t, err)
	enqueue(t, client, echo, `{"do": "hang"}`)
	<-running
	stop()
	outcomes := map[string]codes.Code{}
	for _, span := range named(spans, "process default") {
		outcomes[attributesOf(span)["orchestrator.task.outcome"]] = span.Status().Code
	}
	// The leader may have met the expired task first, which has no span then.
	delete(outcomes, "expired")
	require.Equal(t, map[string]codes.Code{
		"snoozed": codes.Unset, "succeeded": codes.Unset, "cancelled": codes.Unset, "released": codes.Unset,
	}, outcomes)
}

func TestBaggageTravelsWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	member, err := baggage.NewMember("tenant", "acme")
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	ctx := baggage.ContextWithBaggage(t.Context(), bag)
	for _, on := range []bool{true, false} {
		client := orchestratortest.Client(t, orchestrator.ClientConfig{TracerProvider: sdktrace.NewTracerProvider(), PropagateBaggage: on})
		tenants := make(chan string, 1)
		stop := startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
			tenants <- baggage.FromContext(ctx).Member("tenant").Value() + task.Metadata["order"]
			return nil, nil
		}), orchestrator.WorkerConfig{})
		r := orchestrator.Request{Definition: echo, Payload: []byte(`{}`)}
		orchestrator.WithMetadata(map[string]string{"order": "7"})(&r)
		_, err = client.Enqueue(ctx, []orchestrator.Request{r})
		require.NoError(t, err)
		want := "7"
		if on {
			want = "acme7"
		}
		require.Equal(t, want, <-tenants)
		stop()
	}
}

// The leader tells the depth of all queues, once a cluster, and stops telling
// it when it leads no more.
func TestDepthIsToldByTheLeader(t *testing.T) {
	t.Parallel()
	registries := []*prometheus.Registry{prometheus.NewPedanticRegistry(), prometheus.NewPedanticRegistry()}
	url := orchestratortest.DB(t)
	var stops []func()
	hold := make(chan struct{})
	for _, registry := range registries {
		client, err := orchestrator.Open(t.Context(), url, orchestrator.ClientConfig{Registerer: registry})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		if len(stops) == 0 {
			for range 3 {
				enqueue(t, client, echo, `{}`)
			}
			enqueue(t, client, echo, `{}`, orchestrator.WithDelay(time.Hour))
			enqueue(t, client, echo, `{}`, orchestrator.WithQueue("elsewhere"))
		}
		stops = append(stops, startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
			<-hold
			return nil, nil
		}), orchestrator.WorkerConfig{PoolSize: 1, HeartbeatInterval: 20 * time.Millisecond, LeaderTerm: time.Second}))
	}
	value := func(registry *prometheus.Registry, name string, labels map[string]string) float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, metric := range family.GetMetric() {
				matches := 0
				for _, pair := range metric.GetLabel() {
					if labels[pair.GetName()] == pair.GetValue() {
						matches++
					}
				}
				if matches == len(labels) {
					return metric.GetGauge().GetValue()
				}
			}
		}
		return -1
	}
	tasks := func(registry *prometheus.Registry, queue, state string) float64 {
		return value(registry, "orchestrator_tasks", map[string]string{"queue": queue, "state": state})
	}
	leads := func(registry *prometheus.Registry) bool { return value(registry, "orchestrator_leader", nil) == 1 }
	leader := func() *prometheus.Registry {
		var found *prometheus.Registry
		require.Eventually(t, func() bool {
			for _, registry := range registries {
				if leads(registry) {
					found = registry
				}
			}
			return found != nil
		}, 30*time.Second, 5*time.Millisecond)
		return found
	}
	first := leader()
	require.Eventually(t, func() bool {
		return tasks(first, "default", "running") == 2 && tasks(first, "default", "ready") == 1 &&
			tasks(first, "default", "scheduled") == 1 && tasks(first, "elsewhere", "ready") == 1 &&
			value(first, "orchestrator_oldest_ready_age_seconds", map[string]string{"queue": "elsewhere"}) > 0
	}, 30*time.Second, 5*time.Millisecond)
	other := registries[0]
	if first == registries[0] {
		other = registries[1]
	}
	require.Equal(t, -1.0, tasks(other, "default", "ready"), "told once")

	close(hold)
	stops[slices.Index(registries, first)]()
	require.Equal(t, -1.0, tasks(first, "default", "ready"), "no leader any more")
	require.Eventually(t, func() bool {
		return leads(other) && tasks(other, "default", "ready") == 0 && tasks(other, "default", "running") == 0
	}, 30*time.Second, 5*time.Millisecond)
}

// However many tasks there are, labels are types, queues and states.
func TestCardinalityIsBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry})
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		switch task.ID % 4 {
		case 0:
			return nil, orchestrator.Permanent(fmt.Errorf("%w: number %d", orchestrator.Code("code_"+task.ID.String()), task.ID))
		case 1:
			return nil, orchestrator.Cancel(errors.New(task.ID.String()))
		}
		return nil, nil
	}), orchestrator.WorkerConfig{HeartbeatInterval: 20 * time.Millisecond, LeaderTerm: time.Second})
	work := func(n int) {
		for range n {
			_, _ = result(t, enqueue(t, client, echo, `{}`))
		}
	}
	series := func() int {
		n, err := testutil.GatherAndCount(registry)
		require.NoError(t, err)
		return n
	}
	work(8)
	require.Eventually(t, func() bool {
		n, err := testutil.GatherAndCount(registry, "orchestrator_tasks", "orchestrator_oldest_ready_age_seconds")
		return err == nil && n == 7+1
	}, 30*time.Second, 5*time.Millisecond)
	before := series()
	work(100)
	require.Equal(t, before, series())
}
