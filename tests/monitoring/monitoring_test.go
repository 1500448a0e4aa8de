package monitoring_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate"
	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/monitoring"
	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// echo fails as its text says.
type echo struct{}

const (
	well        = "well"
	failsOnce   = "fails once"
	failsAlways = "fails always"
)

func (echo) HandleTestEcho(_ context.Context, t *generated.TestEchoTask) (generated.TestEchoResult, error) {
	if t.Payload.Text == failsAlways || t.Payload.Text == failsOnce && t.Attempt == 1 {
		return generated.TestEchoResult{}, errors.New(t.Payload.Text)
	}
	return generated.TestEchoResult{Text: t.Payload.Text}, nil
}

// watched is a worker and what serves its metrics.
type watched struct {
	client   *orchestrator.Client
	registry *prometheus.Registry
	address  string
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	w := &watched{client: orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry}), registry: registry}
	mux := orchestrator.NewMux()
	generated.RegisterTestEcho(mux, echo{})
	harness.StartWorker(t, w.client, mux, harness.Brisk())
	// OpenMetrics, as a worker serves it: it writes the bounds of buckets in a
	// way of its own.
	web := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	t.Cleanup(web.Close)
	w.address = strings.TrimPrefix(web.URL, "http://")
	return w
}

// work enqueues a task that succeeds, one that is retried and one that dies.
func (w *watched) work(t *testing.T) {
	t.Helper()
	for _, text := range []string{well, failsOnce, failsAlways} {
		var options []orchestrator.EnqueueOption
		if text == failsAlways {
			options = append(options, orchestrator.WithMaxAttempts(1))
		}
		_, err := generated.EnqueueTestEcho(t.Context(), w.client, generated.TestEchoPayload{Text: text}, options...)
		require.NoError(t, err)
	}
}

// dashboard is what the test reads of a dashboard.
type dashboard struct {
	Panels []struct {
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
}

// queries are the dashboard's queries by the title of their panel.
func queries(t *testing.T, content []byte) map[string][]string {
	t.Helper()
	var d dashboard
	require.NoError(t, json.Unmarshal(content, &d))
	all := map[string][]string{}
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	return all
}

func generatedFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files, mistakes, err := generate.Generate(os.DirFS("testdata"), "tasks.yaml")
	require.NoError(t, err)
	require.NoError(t, mistakes.Err())
	return files.Monitoring
}

// Every panel shows something when tasks run, succeed, are retried and die.
func TestEveryQueryOfTheDashboardReturnsData(t *testing.T) {
	t.Parallel()
	files := generatedFiles(t)
	w := startWatched(t)
	p := startPrometheus(t, w.address, files[monitoring.RulesFile])

	panels := queries(t, files[monitoring.DashboardFile])
	require.GreaterOrEqual(t, len(panels), 20)
	empty := map[string]string{} // by query, the panel that has it
	for _, chosen := range []*strings.Replacer{
		strings.NewReplacer("$queue", ".*", "$type", ".*", "$__rate_interval", "4s"),
		strings.NewReplacer("$queue", "default", "$type", "test:echo", "$__rate_interval", "4s"),
	} {
		for title, exprs := range panels {
			for _, expr := range exprs {
				expr = chosen.Replace(expr)
				require.NotContains(t, expr, "$", "a variable that the dashboard does not declare")
				empty[expr] = title
			}
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("without data:", empty)
		}
	})
	turn := time.NewTicker(200 * time.Millisecond)
	defer turn.Stop()
	harness.Await(t, "data in every panel", func() bool {
		w.work(t)
		maps.DeleteFunc(empty, func(expr, _ string) bool { return len(p.query(t, expr)) > 0 })
		if len(empty) == 0 {
			return true
		}
		<-turn.C // a rate takes two scrapes, however often it is asked for
		return false
	})

	requireRightData(t, w, p, panels)
	requireRulesWork(t, p)
}

// requireRightData compares numbers of the dashboard with what is known.
func requireRightData(t *testing.T, w *watched, p *server, panels map[string][]string) {
	t.Helper()
	number := func(title string) float64 {
		expr := strings.NewReplacer("$queue", ".*", "$type", ".*", "$__rate_interval", "1h").Replace(panels[title][0])
		samples := p.query(t, expr)
		require.Len(t, samples, 1, title)
		return samples[0].Value
	}
	harness.Await(t, "the dead letters to be counted", func() bool {
		dead, err := w.client.CountDead(t.Context(), orchestrator.DeadFilter{})
		require.NoError(t, err)
		return p.query(t, `sum(orchestrator_tasks_finished_total{state="dead"})`)[0].Value == float64(dead)
	})
	require.InDelta(t, 2.0/3, number("Succeed"), 0.2)
	require.InDelta(t, 1, number("Leader"), 0)
	require.Less(t, number("Oldest waiting"), 60.0)
}

// requireRulesWork wants no error of a rule, and exactly the alerts that the
// tasks have deserved.
func requireRulesWork(t *testing.T, p *server) {
	t.Helper()
	status, body := p.get(t, "/api/v1/rules")
	require.Equal(t, http.StatusOK, status)
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	require.Len(t, answer.Data.Groups, 9, "health, and two for each of four promises")
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			require.Empty(t, rule.LastError, rule.Name)
			require.NotEqual(t, "err", rule.Health, rule.Name)
		}
	}
	// A third of the tasks dies where 10% may in the long run: 3.3 times
	// as fast as allowed. The queue promised 99.9%, so it pages.
	harness.Await(t, "the page", func() bool {
		return len(p.query(t, `ALERTS{alertname="OrchestratorTasksFail",severity="page",queue="default",alertstate="firing"}`)) == 1
	})
	require.Empty(t, p.query(t, `ALERTS{alertname="OrchestratorTasksFail",severity="page",type="test:echo"}`))
	require.Empty(t, p.query(t, `ALERTS{alertname=~"OrchestratorNo.*|OrchestratorTasksStartLate"}`), "somebody works and leads, and everything starts soon")
}

// The generator does not import the engine; here both are at hand.
func TestWaitsAreCountedAtTheBoundsTheGeneratorKnows(t *testing.T) {
	t.Parallel()
	w := startWatched(t)
	w.work(t)
	var bounds []time.Duration
	harness.Await(t, "a task to start", func() bool {
		families, err := w.registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			if family.GetName() != "orchestrator_queue_wait_seconds" {
				continue
			}
			for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() {
				bounds = append(bounds, time.Duration(bucket.GetUpperBound()*float64(time.Second)))
			}
		}
		return len(bounds) > 0
	})
	require.Equal(t, model.WaitBounds(), bounds, "change model.WaitBounds with the histogram")
}
