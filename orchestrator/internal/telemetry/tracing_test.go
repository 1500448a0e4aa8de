package telemetry

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const unsampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

// A context is read as OpenTelemetry's own propagator would.
func TestCarrierIsRead(t *testing.T) {
	t.Parallel()
	tracing := NewTracing(sdktrace.NewTracerProvider(), "devel", TracingConfig{})
	got := tracing.extract(Carrier{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	require.True(t, got.IsValid() && got.IsSampled() && got.IsRemote())
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", got.TraceID().String())
	require.Equal(t, "00f067aa0ba902b7", got.SpanID().String())
	require.False(t, tracing.extract(Carrier{Parent: unsampledParent}).IsSampled())
	got = tracing.extract(Carrier{Parent: unsampledParent, State: "vendor=1"})
	require.Equal(t, "1", got.TraceState().Get("vendor"))
	for _, bad := range []string{"", "x", "00-4bf92f3577b34da6a3ce929d0e0e473z-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"} {
		require.False(t, tracing.extract(Carrier{Parent: bad}).IsValid(), bad)
	}
}

// A context is written as OpenTelemetry's own propagator does.
func TestCarrierIsWritten(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("vendor=1,other=2")
	require.NoError(t, err)
	for _, config := range []trace.SpanContextConfig{
		{},
		{TraceID: trace.TraceID{1, 15: 0xab}, SpanID: trace.SpanID{7: 0xcd}},
		{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 0xff, TraceState: state},
	} {
		span := trace.NewSpanContext(config)
		want := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), want)
		require.Equal(t, Carrier{want["traceparent"], want["tracestate"]}, carry(span))
	}
}

// process makes n attempts of tasks whose enqueue was not sampled, and returns
// how many were recorded.
func process(tracing *Tracing, n int) (recorded int) {
	for range n {
		_, span := tracing.Process(context.Background(), Attempt{Number: 1, Created: Carrier{Parent: unsampledParent}})
		if span.IsRecording() {
			recorded++
		}
		tracing.EndProcess(span, Succeeded, "", nil, nil)
	}
	return recorded
}

// A sampler that follows the parent is asked less and less; one that does not
// is asked for every attempt.
func TestSamplersThatFollowTheParentAreSpared(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	asked := &counted{Sampler: sdktrace.ParentBased(sdktrace.AlwaysSample())}
	follows := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(asked), sdktrace.WithSpanProcessor(spans)), "devel", TracingConfig{})
	require.Zero(t, process(follows, 10_000))
	require.Less(t, asked.times, 1_200)
	_, span := follows.Process(context.Background(), Attempt{Number: 1, Created: Carrier{Parent: unsampledParent[:53] + "01"}})
	require.True(t, span.IsRecording(), "a sampled one is made as ever")
	_, span = follows.Process(context.Background(), Attempt{Number: 2, Created: Carrier{Parent: unsampledParent}})
	require.True(t, span.IsRecording(), "and so is a root")
	ctx, _ := follows.Process(context.Background(), Attempt{Number: 1, Created: Carrier{Parent: unsampledParent}})
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", trace.SpanContextFromContext(ctx).TraceID().String(), "the handler is in the trace")

	own := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample())), "devel", TracingConfig{})
	require.Equal(t, 10_000, process(own, 10_000))
}

// An attempt that comes late begins a trace of its own, which the sampler decides
// on; one that takes nothing need not be asked each time.
func TestSamplersThatTakeNoRootsAreSpared(t *testing.T) {
	t.Parallel()
	late := Attempt{Number: 1, Delay: time.Hour, Created: Carrier{Parent: unsampledParent}}
	recorded := func(tracing *Tracing, n int) (recording int) {
		for range n {
			if _, span := tracing.Process(context.Background(), late); span.IsRecording() {
				recording++
			}
		}
		return recording
	}
	asked := &counted{Sampler: sdktrace.NeverSample()}
	never := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(asked)), "devel", TracingConfig{})
	require.Zero(t, recorded(never, 100_000))
	require.Less(t, asked.times, 12_000)
	after := late
	after.Number, after.Previous = 2, unsampledParent[:53]+"01"
	times := asked.times
	never.Process(context.Background(), after)
	require.Equal(t, times+1, asked.times, "the attempt before was sampled")

	some := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(.01)))), "devel", TracingConfig{})
	require.InDelta(t, 1_000, recorded(some, 100_000), 200)
}

type counted struct {
	sdktrace.Sampler
	times int
}

func (c *counted) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	c.times++
	return c.Sampler.ShouldSample(p)
}
