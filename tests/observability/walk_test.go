package observability_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/tests/observability/lab"
)

// blocks returns the fenced blocks of docs/observability.md of one kind.
func blocks(t *testing.T, kind string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "observability.md"))
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+regexp.QuoteMeta(kind)+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found, kind)
	return found
}

// TestWalk does what docs/observability.md says, step by step: from the alert
// to the trace, to the log line, to the task, and back into the queue.
func TestWalk(t *testing.T) {
	t.Parallel()
	findPrometheus(t)
	jaeger := openJaeger(t)
	shop, databaseURL := openShop(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+jaeger.OTLP)
	prometheus := openPrometheus(t, shop.Worker.URL)

	// The state of the page's story. A counter has to be seen before it grows.
	task, _, err := shop.SignUp(t.Context(), "rejected@example.com")
	require.NoError(t, err)
	require.Equal(t, "1", task)
	value(t, prometheus, `sum(orchestrator_tasks_finished_total{state="dead"})`, between(1, 1))
	task, traceID, err := shop.SignUp(t.Context(), "rejected@example.com")
	require.NoError(t, err)

	for _, query := range blocks(t, "promql") {
		require.Eventually(t, func() bool {
			samples, err := prometheus.Query(t.Context(), query)
			require.NoError(t, err, "%s", query)
			return len(samples) > 0
		}, time.Minute, 100*time.Millisecond, "%s", query)
	}

	search := url.Values{}
	for line := range strings.Lines(blocks(t, "jaeger")[0]) {
		key, parameter, _ := strings.Cut(strings.TrimSpace(line), "=")
		search.Set(key, parameter)
	}
	var traces []lab.Trace
	require.Eventually(t, func() bool {
		traces, err = jaeger.Search(t.Context(), search)
		require.NoError(t, err)
		return slices.ContainsFunc(traces, func(found lab.Trace) bool { return found.TraceID == traceID && len(found.Spans) == 4 })
	}, time.Minute, 100*time.Millisecond)
	found := traces[slices.IndexFunc(traces, func(found lab.Trace) bool { return found.TraceID == traceID })]
	for line := range strings.Lines(blocks(t, "tree")[0]) {
		require.Contains(t, lab.Tree([]lab.Trace{found}), strings.TrimRight(line, "\n"))
	}
	attempt := only(t, found, "process mail")
	require.Equal(t, task, attempt.Tag("orchestrator.task.id"))

	dead := sample(t, blocks(t, "json log")[0])[0]
	var line map[string]any
	require.Eventually(t, func() bool {
		for _, one := range logged(t, shop) {
			if one["trace_id"] == traceID {
				line = one
			}
		}
		return line != nil
	}, time.Minute, 20*time.Millisecond, "a line with the trace's id")
	requireLike(t, dead, line)

	command := filepath.Join(t.TempDir(), "orchestrator")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", command, "./cmd/orchestrator")
	build.Dir = root(t)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var said []string
	for _, block := range blocks(t, "sh") {
		for text := range strings.Lines(block) {
			words := strings.Fields(text)
			require.Equal(t, "orchestrator", words[0])
			run := exec.CommandContext(t.Context(), command, words[1:]...)
			run.Env = append(os.Environ(), "DATABASE_URL="+databaseURL)
			out, err := run.CombinedOutput()
			require.NoError(t, err, "%s: %s", text, out)
			said = append(said, string(out))
		}
	}
	require.Contains(t, said[0], "address_rejected")
	require.Contains(t, said[0], "rejected@example.com")
	require.Contains(t, said[1], "mail:welcome")
	require.Contains(t, said[2], "2")
	value(t, prometheus, `sum(orchestrator_tasks_finished_total{state="dead"})`, between(4, 4)) // it is still rejected
}

// TestReadyPage compares /ready with the page.
func TestReadyPage(t *testing.T) {
	t.Parallel()
	shop, _ := openShop(t)
	page, err := shop.Worker.Get(t.Context(), "/ready")
	require.NoError(t, err)
	worker := regexp.MustCompile(`"(worker|version)": "(devel|v[^"]*|\d+)"`)
	require.Equal(t, worker.ReplaceAllString(blocks(t, "json ready")[0], "$1"), worker.ReplaceAllString(page, "$1"))
}

// TestLogOfAFailingTask compares the worker's log with the page.
func TestLogOfAFailingTask(t *testing.T) {
	t.Parallel()
	jaeger := openJaeger(t) // for sampled traces
	shop, _ := openShop(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+jaeger.OTLP)
	task, _, err := shop.SignUp(t.Context(), "fails-2@example.com")
	require.NoError(t, err)
	_, err = jaeger.AwaitTask(t.Context(), task, 3)
	require.NoError(t, err)
	want := sample(t, blocks(t, "json log")[1])
	var got []map[string]any
	for _, one := range logged(t, shop) {
		if one["task"] != nil {
			got = append(got, one)
		}
	}
	require.Len(t, got, len(want))
	for i := range want {
		requireLike(t, want[i], got[i])
	}
}

// logged is the worker's log so far.
func logged(t *testing.T, shop *lab.Shop) []map[string]any {
	t.Helper()
	return sample(t, strings.Join(shop.Worker.Output(), "\n"))
}

func sample(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one), "%s", line)
		lines = append(lines, one)
	}
	return lines
}

// requireLike compares two lines but for what is different each time.
func requireLike(t *testing.T, want, got map[string]any) {
	t.Helper()
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	for key := range want {
		switch key {
		case "time", "task", "worker", "trace_id", "retry_in":
		default:
			require.Equal(t, want[key], got[key], key)
		}
	}
}
