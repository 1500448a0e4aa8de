package telemetry

import (
	"context"
	"encoding/hex"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// ChildWithin is how late a first attempt may start and still be a child of
// the span that enqueued it. A later one begins a trace of its own with a link
// to that span, because a trace that is open for hours is of little use.
const ChildWithin = time.Minute

// Attributes of the engine's own.
var (
	taskType     = attribute.Key("orchestrator.task.type")
	taskID       = attribute.Key("orchestrator.task.id")
	taskAttempt  = attribute.Key("orchestrator.task.attempt")
	taskPriority = attribute.Key("orchestrator.task.priority")
	taskOutcome  = attribute.Key("orchestrator.task.outcome")
	system       = semconv.MessagingSystemKey.String("orchestrator")
)

// TracingConfig is what tracing may be told.
type TracingConfig struct {
	// RetriesInTrace makes retries children of the span that enqueued the
	// task, instead of roots with links to it.
	RetriesInTrace bool
	// Baggage carries the enqueuer's baggage to the attempts.
	Baggage bool
}

// Tracing makes the engine's spans.
type Tracing struct {
	tracer     trace.Tracer
	propagator propagation.TraceContext
	config     TracingConfig

	children refusals                 // of attempts in the trace of an enqueue that is not sampled
	roots    refusals                 // of those that begin a trace of their own
	enqueuer atomic.Pointer[enqueuer] // of the attempt before
	sending  atomic.Pointer[sending]  // of the enqueue before
}

// NewTracing returns nil for a nil provider.
func NewTracing(p trace.TracerProvider, version string, config TracingConfig) *Tracing {
	if p == nil {
		return nil
	}
	return &Tracing{
		tracer: p.Tracer("github.com/task-orchestrator/task-orchestrator/orchestrator",
			trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL)),
		config:   config,
		children: refusals{enough: refusedChildren},
		roots:    refusals{enough: refusedRoots},
	}
}

// Carrier is a span's context as it is stored with a task: the values of the
// W3C headers traceparent and tracestate.
type Carrier struct{ Parent, State string }

// Send starts the span of an enqueue of n tasks, of one type and to one queue
// or "" for several. The carrier goes into the tasks' rows.
func (t *Tracing) Send(ctx context.Context, taskTypeName, queue string, n int) (context.Context, trace.Span, Carrier) {
	if t == nil {
		return ctx, nil, Carrier{}
	}
	s := t.sending.Load()
	if s == nil || s.taskType != taskTypeName || s.queue != queue || s.n != n {
		s = newSending(taskTypeName, queue, n)
		t.sending.Store(s)
	}
	ctx, span := t.tracer.Start(ctx, s.name, s.options...)
	return ctx, span, carry(span.SpanContext())
}

// sending is how the spans of alike enqueues start.
type sending struct {
	taskType, queue string
	n               int
	name            string
	options         []trace.SpanStartOption
}

func newSending(taskTypeName, queue string, n int) *sending {
	attributes := []attribute.KeyValue{
		system, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
	}
	name := "send"
	if queue != "" {
		name += " " + queue
		attributes = append(attributes, semconv.MessagingDestinationName(queue))
	}
	if taskTypeName != "" {
		attributes = append(attributes, taskType.String(taskTypeName))
	}
	if n > 1 {
		attributes = append(attributes, semconv.MessagingBatchMessageCount(n))
	}
	return &sending{taskTypeName, queue, n, name,
		[]trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...)}}
}

// maxBaggage is what the W3C asks of everybody to carry.
const maxBaggage = 8192

// Baggage is the baggage of ctx as the W3C header of that name has it; "" is
// none, or not wanted, or too much to carry.
func (t *Tracing) Baggage(ctx context.Context) string {
	if t == nil || !t.config.Baggage {
		return ""
	}
	text := baggage.FromContext(ctx).String()
	if len(text) > maxBaggage {
		return ""
	}
	return text
}

// WithBaggage returns a context with the baggage that [Tracing.Baggage] wrote.
func (t *Tracing) WithBaggage(ctx context.Context, text string) context.Context {
	if t == nil || !t.config.Baggage || text == "" {
		return ctx
	}
	return propagation.Baggage{}.Extract(ctx, propagation.MapCarrier{"baggage": text})
}

// carry writes what OpenTelemetry's own propagator would, without its map.
func carry(span trace.SpanContext) Carrier {
	if !span.IsValid() {
		return Carrier{}
	}
	traceID, spanID := span.TraceID(), span.SpanID()
	flags := span.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom)
	text := make([]byte, 0, version00)
	text = hex.AppendEncode(append(text, "00-"...), traceID[:])
	text = hex.AppendEncode(append(text, '-'), spanID[:])
	text = hex.AppendEncode(append(text, '-'), []byte{byte(flags)})
	return Carrier{string(text), span.TraceState().String()}
}

// version00 is the length of a traceparent of that version.
const version00 = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

// EndSend ends the span of [Tracing.Send]; id is 0 for a batch.
func (t *Tracing) EndSend(span trace.Span, id int64, err error) {
	if t == nil {
		return
	}
	if id != 0 && span.IsRecording() {
		span.SetAttributes(semconv.MessagingMessageID(strconv.FormatInt(id, 10)))
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Received is one of the tasks that a claim returned.
type Received struct {
	Queue   string
	Created Carrier
}

// maxLinks is how many links an SDK keeps by default.
const maxLinks = 128

// Receive makes the span of a claim that began at a time and has just returned
// n tasks: a root of its own with links to what enqueued them. It is made
// afterwards, so that claims which return nothing cost nothing, and the tasks
// are looked at only for a span that is sampled.
func (t *Tracing) Receive(began time.Time, n int, at func(i int) Received) {
	if t == nil || n == 0 {
		return
	}
	_, span := t.tracer.Start(context.Background(), "receive", trace.WithNewRoot(), trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			system, semconv.MessagingOperationTypeReceive, semconv.MessagingOperationName("receive"), semconv.MessagingBatchMessageCount(n)))
	defer span.End()
	if !span.IsRecording() {
		return
	}
	queue := at(0).Queue
	for i := range n {
		task := at(i)
		if task.Queue != queue {
			queue = ""
		}
		if created := t.extract(task.Created); i < maxLinks && created.IsValid() {
			span.AddLink(trace.Link{SpanContext: created})
		}
	}
	if queue != "" {
		span.SetName("receive " + queue)
		span.SetAttributes(semconv.MessagingDestinationName(queue))
	}
}

// Attempt is what the span of an attempt tells.
type Attempt struct {
	ID       int64
	Type     string
	Queue    string
	Number   int
	Priority int
	Created  Carrier       // of the span that enqueued the task
	Previous string        // traceparent of the attempt before, "" for none
	Delay    time.Duration // from the enqueue to now
}

// first tells whether nothing has gone wrong with the task before. A dead
// letter that was redriven counts its attempts anew, but remembers.
func (a *Attempt) first() bool { return a.Number == 1 && a.Previous == "" }

// Process starts the span of an attempt.
func (t *Tracing) Process(ctx context.Context, a Attempt) (context.Context, trace.Span) {
	if t == nil {
		return ctx, nil
	}
	sender := t.enqueuedBy(a.Created)
	created := sender.SpanContext()
	// A parent is not linked to as well: Jaeger would take the link for all
	// there is and lose the child.
	child := created.IsValid() && (t.config.RetriesInTrace || a.first() && a.Delay <= ChildWithin)
	offers := &t.roots
	if child {
		offers = &t.children
	}
	// A handler whose attempt has no span of its own sees the enqueuer's, which is
	// not sampled: a sampler that follows the parent takes none of its spans either.
	if created.IsValid() && !created.IsSampled() && (child || a.Previous == "") && offers.hopeless() {
		return trace.ContextWithSpan(ctx, sender), sender
	}
	if child {
		ctx = trace.ContextWithSpan(ctx, sender)
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		// At the start, so that samplers see them.
		trace.WithAttributes(
			system, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(a.Queue), semconv.MessagingMessageID(strconv.FormatInt(a.ID, 10)),
			taskType.String(a.Type), taskID.Int64(a.ID), taskAttempt.Int(a.Number), taskPriority.Int(a.Priority),
		),
	}
	if created.IsValid() && !child {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: created}))
	}
	if previous := t.extract(Carrier{Parent: a.Previous}); previous.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: previous}))
	}
	if !child {
		options = append(options, trace.WithNewRoot())
	}
	ctx, span := t.tracer.Start(ctx, "process "+a.Queue, options...)
	if created.IsValid() && !created.IsSampled() && span.IsRecording() {
		offers.contrary.Store(true)
	}
	return ctx, span
}

// refusals are the attempts of unsampled enqueues that a sampler did not take.
type refusals struct {
	enough   int64 // so many, and it need not be asked
	times    atomic.Int64
	contrary atomic.Bool // it has taken one
}

// So many refusals in a row show that a sampler follows the enqueue, as good as
// all do with a child; with a root, that it takes next to none.
const (
	refusedChildren = 1_000
	refusedRoots    = 10_000
)

// hopeless tells whether the next attempt would not be sampled either, so that
// its span need not be made: one that is dropped costs something too. After
// enough refusals a few are offered all the same, and one that is sampled ends
// it.
func (r *refusals) hopeless() bool {
	if r.contrary.Load() {
		return false
	}
	n := r.times.Add(1)
	return n > r.enough && n%64 != 0
}

// enqueuer is the span that enqueued tasks, as a remote one.
type enqueuer struct {
	carrier Carrier
	span    trace.Span
}

// enqueuedBy is the span of which c tells. Tasks that are claimed together were
// often enqueued together.
func (t *Tracing) enqueuedBy(c Carrier) trace.Span {
	if known := t.enqueuer.Load(); known != nil && known.carrier == c {
		return known.span
	}
	span := trace.SpanFromContext(trace.ContextWithRemoteSpanContext(context.Background(), t.extract(c)))
	t.enqueuer.Store(&enqueuer{c, span})
	return span
}

// extract reads what carry wrote; without a state, which is the rule, it needs
// no memory.
func (t *Tracing) extract(c Carrier) trace.SpanContext {
	if c.Parent == "" {
		return trace.SpanContext{}
	}
	if c.State != "" || len(c.Parent) != version00 {
		ctx := t.propagator.Extract(context.Background(), propagation.MapCarrier{"traceparent": c.Parent, "tracestate": c.State})
		return trace.SpanContextFromContext(ctx)
	}
	var config trace.SpanContextConfig
	var flags [1]byte
	text := []byte(c.Parent)
	_, errTrace := hex.Decode(config.TraceID[:], text[3:35])
	_, errSpan := hex.Decode(config.SpanID[:], text[36:52])
	_, errFlags := hex.Decode(flags[:], text[53:])
	if errTrace != nil || errSpan != nil || errFlags != nil {
		return trace.SpanContext{}
	}
	config.TraceFlags, config.Remote = trace.TraceFlags(flags[0]), true
	return trace.NewSpanContext(config)
}

// EndProcess ends the span of an attempt. errorType is the error's code, or
// what else names its kind; stack is a panic's.
func (t *Tracing) EndProcess(span trace.Span, outcome, errorType string, err error, stack []byte) {
	if t == nil {
		return
	}
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(taskOutcome.String(outcome))
	if err == nil || outcome == Snoozed || outcome == Released {
		return // these are how the attempt was meant to end
	}
	attributes := []attribute.KeyValue{}
	if len(stack) > 0 {
		attributes = append(attributes, semconv.ExceptionStacktrace(string(stack)))
	}
	span.RecordError(err, trace.WithAttributes(attributes...))
	if outcome == Cancelled || outcome == Expired {
		return // somebody's decision, with its reason
	}
	if outcome == LeaseLost {
		errorType = LeaseLost
	}
	if errorType == "" {
		errorType = semconv.ErrorTypeOther.Value.AsString()
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType))
	span.SetStatus(codes.Error, firstLine(err))
}

func firstLine(err error) string {
	text := err.Error()
	for i, r := range text {
		if r == '\n' {
			return text[:i]
		}
	}
	return text
}

// Traceparent is a span's W3C header, "" when it is not sampled or there is
// none.
func (t *Tracing) Traceparent(span trace.Span) string {
	if t == nil || span == nil || !span.SpanContext().IsSampled() {
		return ""
	}
	return carry(span.SpanContext()).Parent
}

// TraceID is the hexadecimal trace id of a sampled span, "" otherwise.
func (t *Tracing) TraceID(span trace.Span) string {
	if t == nil || span == nil || !span.SpanContext().IsSampled() {
		return ""
	}
	return span.SpanContext().TraceID().String()
}
