package observability_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/tests/observability/lab"
)

// value waits until a query has an answer that reached accepts.
func value(t *testing.T, p *lab.Prometheus, expression string, reached func(float64) bool) {
	t.Helper()
	var last []lab.Sample
	require.Eventually(t, func() bool {
		samples, err := p.Query(t.Context(), expression)
		require.NoError(t, err)
		last = samples
		return len(samples) == 1 && reached(samples[0].Value)
	}, time.Minute, 100*time.Millisecond, "%s", expression)
	t.Logf("%s = %v", expression, last[0].Value)
}

func between(low, high float64) func(float64) bool {
	return func(v float64) bool { return v >= low && v <= high }
}

// A real Prometheus scrapes the worker: rates, quantiles and gauges come out
// as they went in, and exemplars lead to traces that Jaeger has.
func TestMetricsInPrometheus(t *testing.T) {
	t.Parallel()
	findPrometheus(t)
	jaeger := openJaeger(t)
	shop, _ := openShop(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+jaeger.OTLP)
	// Native histograms are on, because that is where buckets could get lost.
	prometheus := openPrometheus(t, shop.Worker.URL, "--enable-feature=exemplar-storage,native-histograms")
	value(t, prometheus, `up{job="shop-worker"}`, between(1, 1))
	value(t, prometheus, `orchestrator_worker_slots`, between(10, 10))

	// A rate needs a series to have been there before.
	_, _, err := shop.SignUp(t.Context(), "first@example.com")
	require.NoError(t, err)
	value(t, prometheus, `sum(orchestrator_tasks_finished_total)`, between(1, 1))
	const sent = 30
	for i := range sent {
		user := "slow"
		switch i % 10 {
		case 0:
			user = "fails-1"
		case 1:
			user = "rejected"
		}
		_, _, err := shop.SignUp(t.Context(), user+"@example.com")
		require.NoError(t, err)
	}
	finished := func(state string) string {
		return `sum(orchestrator_tasks_finished_total{type="mail:welcome",queue="mail",state="` + state + `"})`
	}
	value(t, prometheus, finished("succeeded"), between(28, 28))
	value(t, prometheus, finished("dead"), between(3, 3))
	value(t, prometheus, `sum(orchestrator_attempts_total{outcome="retried"})`, between(3, 3))
	value(t, prometheus, `max(orchestrator_tasks{queue="mail",state="dead"})`, between(3, 3))
	value(t, prometheus, `max(orchestrator_oldest_ready_age_seconds{queue="mail"})`, between(0, 60))
	value(t, prometheus, `sum(orchestrator_leader)`, between(1, 1))

	// 30 tasks and 3 retries in the last minute, most of which took 0.3 s; the
	// buckets' bounds around that are 0.1 and 0.5.
	value(t, prometheus, `sum(increase(orchestrator_attempts_total{outcome!~"snoozed|released"}[1m]))`, between(25, 60))
	value(t, prometheus, `sum(rate(orchestrator_tasks_finished_total[1m]))`, between(.3, 3))
	value(t, prometheus, `histogram_quantile(0.5, sum by (le) (rate(orchestrator_attempt_duration_seconds_bucket[1m])))`, between(.1, .5))
	value(t, prometheus, `histogram_quantile(0.99, sum by (le) (rate(orchestrator_queue_wait_seconds_bucket{queue="mail"}[1m])))`, between(0, 60))

	ids, err := prometheus.Exemplars(t.Context(), `orchestrator_attempt_duration_seconds_bucket`)
	require.NoError(t, err)
	require.NotEmpty(t, ids)
	trace, err := jaeger.Trace(t.Context(), ids[0])
	require.NoError(t, err)
	require.NotEmpty(t, trace.Named("process mail"))
}

// What is scraped is clean by Prometheus's own linter.
func TestPromtoolFindsNothing(t *testing.T) {
	t.Parallel()
	_, promtool := findPrometheus(t)
	shop, _ := openShop(t)
	_, _, err := shop.SignUp(t.Context(), "ada@example.com")
	require.NoError(t, err)
	var page string
	require.Eventually(t, func() bool { // all of the catalogue, the leader's part too
		page, err = shop.Worker.Get(t.Context(), "/metrics")
		return err == nil && strings.Contains(page, "orchestrator_tasks_finished_total") && strings.Contains(page, "orchestrator_oldest_ready_age_seconds")
	}, time.Minute, 50*time.Millisecond)
	var own strings.Builder
	for line := range strings.Lines(page) {
		if strings.Contains(line, "orchestrator_") {
			own.WriteString(line)
		}
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(own.String())
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}
