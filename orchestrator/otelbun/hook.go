package otelbun

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Hook is a [bun.QueryHook] that makes spans.
type Hook struct{ tracer trace.Tracer }

var _ bun.QueryHook = (*Hook)(nil)

// New returns a hook whose spans go to p, which must not be nil.
func New(p trace.TracerProvider) *Hook {
	return &Hook{p.Tracer("github.com/task-orchestrator/task-orchestrator/orchestrator/otelbun", trace.WithSchemaURL(semconv.SchemaURL))}
}

// BeforeQuery starts the span if ctx is in a trace.
func (h *Hook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	operation, table := strings.ToUpper(event.Operation()), tableOf(event)
	name := operation
	attributes := []attribute.KeyValue{semconv.DBSystemNamePostgreSQL, semconv.DBOperationName(operation)}
	if table != "" {
		name += " " + table
		attributes = append(attributes, semconv.DBCollectionName(table))
	}
	attributes = append(attributes, semconv.DBQuerySummary(name))
	ctx, span := h.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return context.WithValue(ctx, spanKey{}, span)
}

type spanKey struct{}

// AfterQuery ends it.
func (h *Hook) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	defer span.End()
	if event.Err == nil || errors.Is(event.Err, sql.ErrNoRows) {
		return
	}
	// Of the error only its kind: the text may quote a row.
	kind := semconv.ErrorTypeOther
	var refused *pgconn.PgError
	switch {
	case errors.As(event.Err, &refused):
		kind = semconv.ErrorTypeKey.String(refused.Code)
		span.SetAttributes(semconv.DBResponseStatusCode(refused.Code))
	case errors.Is(event.Err, context.Canceled):
		kind = semconv.ErrorTypeKey.String("cancelled")
	case errors.Is(event.Err, context.DeadlineExceeded):
		kind = semconv.ErrorTypeKey.String("timeout")
	}
	span.SetAttributes(kind)
	span.SetStatus(codes.Error, kind.Value.AsString())
}

// tableOf is the table of a query that bun has built, "" for one that was
// written by hand.
func tableOf(event *bun.QueryEvent) string {
	if event.IQuery == nil {
		return ""
	}
	return event.IQuery.GetTableName()
}
