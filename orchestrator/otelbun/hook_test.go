package otelbun_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/otelbun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

type account struct {
	bun.BaseModel `bun:"table:accounts"`

	ID     int64 `bun:",pk"`
	Secret string
}

func TestQueriesHaveSpansWithoutTheirText(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	db := orchestratortest.Client(t).DB().WithQueryHook(otelbun.New(provider))
	_, err := db.NewCreateTable().Model((*account)(nil)).Exec(t.Context())
	require.NoError(t, err)
	require.Empty(t, spans.Ended(), "outside any trace")

	ctx, request := provider.Tracer("test").Start(t.Context(), "GET /account")
	row := &account{ID: 1, Secret: "hunter2"}
	_, err = db.NewInsert().Model(row).Exec(ctx)
	require.NoError(t, err)
	require.NoError(t, db.NewSelect().Model(row).Where("secret = ?", "hunter2").Scan(ctx))
	_, err = db.NewInsert().Model(row).Exec(ctx)
	require.Error(t, err)
	_, err = db.ExecContext(ctx, "UPDATE accounts SET secret = 'hunter2'")
	require.NoError(t, err)
	require.Error(t, db.NewSelect().Model(row).Where("id = 2").Scan(ctx), "no rows, which is no failure")
	request.End()

	var names []string
	for _, span := range spans.Ended() {
		names = append(names, span.Name())
		text := fmt.Sprint(span.Attributes(), span.Events(), span.Status())
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, "WHERE")
		if span.Name() != "GET /account" {
			require.Equal(t, request.SpanContext().SpanID(), span.Parent().SpanID())
			require.Contains(t, text, "postgresql")
		}
	}
	require.Equal(t, []string{"INSERT accounts", "SELECT accounts", "INSERT accounts", "UPDATE", "SELECT accounts", "GET /account"}, names)
	failed := spans.Ended()[2]
	require.Equal(t, codes.Error, failed.Status().Code)
	require.Contains(t, fmt.Sprint(failed.Attributes()), "23505")
	require.Equal(t, codes.Unset, spans.Ended()[4].Status().Code)
}
