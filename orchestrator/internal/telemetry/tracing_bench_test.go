package telemetry

import (
	"context"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// BenchmarkProcess is an attempt whose trace is not sampled.
func BenchmarkProcess(b *testing.B) {
	b.ReportAllocs()
	t := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(.01)))), "devel", TracingConfig{})
	a := Attempt{ID: 4711, Type: "mail:welcome", Queue: "mail", Number: 1, Delay: time.Second,
		Created: Carrier{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}
	for b.Loop() {
		_, span := t.Process(context.Background(), a)
		t.EndProcess(span, Succeeded, "", nil, nil)
	}
}

// BenchmarkProcessLate is an attempt that begins a trace of its own.
func BenchmarkProcessLate(b *testing.B) {
	b.ReportAllocs()
	t := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), "devel", TracingConfig{})
	a := Attempt{ID: 4711, Type: "mail:welcome", Queue: "mail", Number: 1, Delay: time.Hour,
		Created: Carrier{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}
	for b.Loop() {
		_, span := t.Process(context.Background(), a)
		t.EndProcess(span, Succeeded, "", nil, nil)
	}
}

// BenchmarkSend is an enqueue that is not sampled.
func BenchmarkSend(b *testing.B) {
	b.ReportAllocs()
	t := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), "devel", TracingConfig{})
	for b.Loop() {
		_, span, _ := t.Send(context.Background(), "mail:welcome", "mail", 1)
		t.EndSend(span, 4711, nil)
	}
}
