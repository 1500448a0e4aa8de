package telemetry

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func scraped(t *testing.T, r prometheus.Gatherer) string {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, answer.Code)
	return answer.Body.String()
}

// The series of tasks are what vectors of client_golang would be.
func TestTaskSeriesAreAsVectorsWouldBe(t *testing.T) {
	t.Parallel()
	ours, theirs := prometheus.NewPedanticRegistry(), prometheus.NewPedanticRegistry()
	m, err := NewMetrics(ours)
	require.NoError(t, err)
	reg := registration{to: theirs}
	byOutcome, byEnd, durations := reg.counters(attempts), reg.counters(tasksFinished), reg.histograms(attemptDuration)
	require.NoError(t, reg.err)

	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3 {
		labels := []string{fmt.Sprintf("mail:type_%d", i), fmt.Sprintf("queue_%d", i%2)}
		pair := m.Task(labels[0], labels[1])
		for _, outcome := range commonOutcomes {
			byOutcome.WithLabelValues(append(labels, outcome)...)
		}
		for _, end := range commonEnds {
			byEnd.WithLabelValues(append(labels, end)...)
		}
		took := []time.Duration{0, time.Millisecond, 24 * time.Hour} // on a bound, and beyond all
		for range 1000 {
			took = append(took, time.Duration(random.Int64N(1<<random.IntN(44))))
		}
		for _, d := range took {
			pair.Ended(d, "")
			durations.WithLabelValues(labels...).Observe(d.Seconds())
			outcome, end := outcomes[random.IntN(len(outcomes)-i)], ends[random.IntN(len(ends))]
			pair.Outcome(outcome)
			byOutcome.WithLabelValues(append(labels, outcome)...).Inc()
			pair.Finished(end)
			byEnd.WithLabelValues(append(labels, end)...).Inc()
		}
	}
	// The leader ends tasks that it does not handle.
	m.Ended("other:type", "q", Dead, 3)
	byEnd.WithLabelValues("other:type", "q", Dead).Add(3)

	got := scraped(t, ours)
	for line := range strings.Lines(scraped(t, theirs)) {
		require.Contains(t, got, line)
	}
	for _, name := range []string{attempts.FullName(), tasksFinished.FullName(), attemptDuration.FullName()} {
		want, err := testutil.GatherAndCount(theirs, name)
		require.NoError(t, err)
		has, err := testutil.GatherAndCount(ours, name)
		require.NoError(t, err)
		require.Equal(t, want, has, name)
	}
}

func TestTaskSeriesOfManyGoroutines(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	var all sync.WaitGroup
	for range 8 {
		m, err := NewMetrics(r) // as another client of the process has
		require.NoError(t, err)
		all.Go(func() {
			for i := range 1000 {
				pair := m.Task("mail:send", "mail")
				pair.Ended(time.Second/2, fmt.Sprint(i))
				pair.Outcome(Succeeded)
				pair.Finished(Succeeded)
			}
		})
		_, err = r.Gather()
		require.NoError(t, err)
	}
	all.Wait()
	got := scraped(t, r)
	for _, line := range []string{
		`orchestrator_attempts_total{outcome="succeeded",queue="mail",type="mail:send"} 8000`,
		`orchestrator_tasks_finished_total{queue="mail",state="succeeded",type="mail:send"} 8000`,
		`orchestrator_attempt_duration_seconds_sum{queue="mail",type="mail:send"} 4000`,
		`orchestrator_attempt_duration_seconds_bucket{queue="mail",type="mail:send",le="0.1"} 0`,
		`orchestrator_attempt_duration_seconds_bucket{queue="mail",type="mail:send",le="0.5"} 8000`,
	} {
		require.Contains(t, got, line+"\n")
	}
}

func TestDurationsCarryExemplars(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(r)
	require.NoError(t, err)
	pair := m.Task("mail:send", "mail")
	pair.Ended(20*time.Millisecond, "first")
	pair.Ended(30*time.Millisecond, "second")
	pair.Ended(40*time.Millisecond, "")
	pair.Ended(3*time.Hour, "longest")
	families, err := r.Gather()
	require.NoError(t, err)
	exemplars := map[float64]string{}
	for _, f := range families {
		if f.GetName() != attemptDuration.FullName() {
			continue
		}
		for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
			if e := b.GetExemplar(); e != nil {
				exemplars[e.GetValue()] = e.GetLabel()[0].GetName() + "=" + e.GetLabel()[0].GetValue()
			}
		}
	}
	require.Equal(t, map[float64]string{.03: "trace_id=second", 10800: "trace_id=longest"}, exemplars)
}
