package observability_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/tests/observability/lab"
)

// One task that fails once, followed in Jaeger from the request that enqueued
// it to the handler's own span.
func TestRetriedTaskInJaeger(t *testing.T) {
	t.Parallel()
	jaeger := openJaeger(t)
	shop, _ := openShop(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+jaeger.OTLP)
	task, traceID, err := shop.SignUp(t.Context(), "fails-1@example.com")
	require.NoError(t, err)
	traces, err := jaeger.AwaitTask(t.Context(), task, 2)
	require.NoError(t, err)
	require.Len(t, traces, 2, "a retry is a trace of its own")
	first, second := traces[0], traces[1]
	if first.TraceID != traceID {
		first, second = second, first
	}
	require.Equal(t, traceID, first.TraceID)

	// POST /users ─ send mail ─ process mail (attempt 1, error) ─ smtp deliver
	request, send, attempt := only(t, first, "POST /users"), only(t, first, "send mail"), only(t, first, "process mail")
	require.Equal(t, "shop-web", first.Service(&request))
	require.Equal(t, "shop-web", first.Service(&send))
	require.Equal(t, "shop-worker", first.Service(&attempt))
	require.Empty(t, request.Parent())
	require.Equal(t, request.SpanID, send.Parent())
	require.Equal(t, send.SpanID, attempt.Parent())
	deliver := only(t, first, "smtp deliver")
	require.Equal(t, attempt.SpanID, deliver.Parent())
	for key, value := range map[string]string{
		"messaging.system": "orchestrator", "messaging.operation.type": "process", "messaging.destination.name": "mail",
		"messaging.message.id": task, "orchestrator.task.type": "mail:welcome", "orchestrator.task.id": task,
		"orchestrator.task.attempt": "1", "orchestrator.task.outcome": "retried", "error.type": "smtp_busy",
		"error": "true", "otel.status_code": "ERROR", "span.kind": "consumer",
	} {
		require.Equal(t, value, attempt.Tag(key), key)
	}
	require.Equal(t, "producer", send.Tag("span.kind"))

	// process mail (attempt 2) ─ smtp deliver, linked to send and attempt 1
	retry := only(t, second, "process mail")
	require.Empty(t, retry.Parent())
	require.Equal(t, "2", retry.Tag("orchestrator.task.attempt"))
	require.Equal(t, "succeeded", retry.Tag("orchestrator.task.outcome"))
	require.Empty(t, retry.Tag("error"))
	var linked []string
	for _, link := range retry.Links() {
		require.Equal(t, first.TraceID, link.TraceID)
		linked = append(linked, link.SpanID)
	}
	require.ElementsMatch(t, []string{send.SpanID, attempt.SpanID}, linked)
	own := only(t, second, "smtp deliver")
	require.Equal(t, retry.SpanID, own.Parent())

	// No payload and no SQL anywhere.
	for _, trace := range traces {
		for _, span := range trace.Spans {
			for _, tag := range span.Tags {
				require.NotContains(t, tag.Key, "db.")
				require.NotContains(t, fmt.Sprint(tag.Value), "@example.com")
			}
		}
	}

	services, err := jaeger.Services(t.Context())
	require.NoError(t, err)
	require.Subset(t, services, []string{"shop-web", "shop-worker"})

	// The error search finds the trace that failed and not the one that did not.
	failed, err := jaeger.Search(t.Context(), url.Values{"service": {"shop-worker"}, "operation": {"process mail"}, "tags": {`{"error":"true"}`}})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	require.Equal(t, first.TraceID, failed[0].TraceID)

	tree := lab.Tree(traces)
	require.Contains(t, tree, "└─ shop-web: POST /users")
	require.Contains(t, tree, "         └─ shop-worker: smtp deliver", "four levels:\n%s", tree)
	require.Contains(t, tree, "↳ linked to process mail (attempt 1)")
}

func only(t *testing.T, trace lab.Trace, operation string) lab.Span {
	t.Helper()
	spans := trace.Named(operation)
	require.Len(t, spans, 1, operation)
	return spans[0]
}

// Nothing of Jaeger's may be reached from outside this machine.
func TestJaegerListensOnLoopback(t *testing.T) {
	t.Parallel()
	jaeger := openJaeger(t)
	path, err := exec.LookPath("ss")
	if err != nil {
		t.Skip("no ss to list sockets with")
	}
	out, err := exec.CommandContext(t.Context(), path, "-Hlntup").Output()
	require.NoError(t, err)
	found := 0
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "pid="+strconv.Itoa(jaeger.PID())+",") {
			continue
		}
		found++
		host, _, err := net.SplitHostPort(strings.Fields(line)[4])
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", host, line)
	}
	if found == 0 && os.Getuid() != 0 {
		t.Skip("ss does not tell whose sockets they are")
	}
	require.NotZero(t, found)
}
