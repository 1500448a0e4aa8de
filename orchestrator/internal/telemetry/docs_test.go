package telemetry

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// docs/metrics.md is what the code says. To write it anew after a change:
//
//	go test ./orchestrator/internal/telemetry -update
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	page, want := filepath.Join(root, "docs", "metrics.md"), document(alerts(t, root))
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
	}
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "docs/metrics.md is stale: go test ./orchestrator/internal/telemetry -update")
}

// The catalogue is all that is registered.
func TestCatalogueIsComplete(t *testing.T) {
	t.Parallel()
	var names []string
	r := prometheus.NewPedanticRegistry()
	_, err := NewMetrics(collectorNames{r, &names})
	require.NoError(t, err)
	var listed []string
	for _, m := range Catalogue() {
		listed = append(listed, m.FullName())
		require.NotEmpty(t, m.Help)
		require.Equal(t, m.Kind == Counter, strings.HasSuffix(m.Name, "_total"), m.Name)
		require.Equal(t, m.Kind == Histogram, len(m.Buckets) > 0, m.Name)
		require.True(t, slices.IsSorted(m.Buckets), m.Name)
		for _, label := range m.Labels {
			require.Contains(t, []string{"type", "queue", "outcome", "state", "schedule", "reason"}, label, "labels are few, and never of a task")
		}
	}
	require.ElementsMatch(t, listed, names)
}

// collectorNames notes the names of what is registered.
type collectorNames struct {
	*prometheus.Registry
	names *[]string
}

func (c collectorNames) Register(one prometheus.Collector) error {
	described := make(chan *prometheus.Desc, 1)
	go func() { one.Describe(described); close(described) }()
	for d := range described {
		_, after, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(after, `"`)
		*c.names = append(*c.names, name)
	}
	return c.Registry.Register(one)
}

// rule is a rule of Prometheus, for alerting or for recording.
type rule struct {
	Alert, Record, Expr string
}

// alerts says which alerts of the generated rules a metric is used by,
// directly or through recorded series. The golden rules have all kinds.
func alerts(t *testing.T, root string) func(metric string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "generate", "monitoring", "testdata", "promises", "orchestrator.rules.yml"))
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(text, &file))
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	require.NotEmpty(t, rules)
	var users func(series string, seen map[string]bool) []string
	users = func(series string, seen map[string]bool) (names []string) {
		for _, r := range rules {
			if !mentions(r.Expr, series) {
				continue
			}
			if r.Alert != "" {
				names = append(names, r.Alert)
			} else if !seen[r.Record] {
				seen[r.Record] = true
				names = append(names, users(r.Record, seen)...)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	return func(metric string) []string { return users(metric, map[string]bool{}) }
}

// mentions tells whether a query reads a series, or a histogram's parts.
func mentions(query, series string) bool {
	for _, word := range strings.FieldsFunc(query, func(r rune) bool {
		return r != '_' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			if word == series+suffix {
				return true
			}
		}
	}
	return false
}

const introduction = `# Metrics

<!-- Written by the tests of orchestrator/internal/telemetry from the code: go test ./orchestrator/internal/telemetry -update -->

A client that is given a ` + "`Registerer`" + ` counts what it enqueues; a worker counts what it runs; the worker that leads
counts for the cluster. Give it ` + "`prometheus.DefaultRegisterer`" + ` or a ` + "`*prometheus.Registry`" + `, set ` + "`HTTP_ADDR`" + `, and
` + "`/metrics`" + ` is served. All names begin with ` + "`orchestrator_`" + `, units are seconds, and no label ever tells a task: a
process that works *t* pairs of type and queue in *q* queues, and whose specs declare *s* schedules, has at most
%s series.

Histograms are classic ones. With tracing on, ` + "`orchestrator_attempt_duration_seconds`" + ` carries trace ids as exemplars, which
Prometheus keeps with ` + "`--enable-feature=exemplar-storage`" + `. See [observability.md](observability.md) for what to do with it all.

| metric | type | labels | meaning | alerts |
|---|---|---|---|---|
`

const counting = `
The alerts are those that ` + "`orchestrator generate --monitoring`" + ` writes.

## How tasks are counted

The leader looks at the oldest ready task of each queue, one index entry a lane, every ` + "`HEARTBEAT_INTERVAL`" + `, and counts
tasks by queue and state as often, but for at most a twentieth of its time. A table of up to 40 MB (some 200,000 tasks
with small payloads) is read whole and the count is exact. Of a larger one as many pages are sampled and the counts
scaled: what is a percent of all tasks or more comes out within some percent; what is rarer comes out rougher, and may be
missed. What is ready in a queue of up to 2,000 tasks a lane (of more than ten lanes,
20,000 in all), what of a queue is blocked or throttled when it is no more than 2,000, what runs, and the oldest age are exact at any size.

## Older names

For dashboards that come from the system before this one:

| older | now |
|---|---|
`

const pendingNote = `
` + "`tasks_pending`" + ` was kept by type. Tasks are now counted by queue, once a cluster; a type that needs watching of its own
gets a queue of its own.
`

func document(alerts func(string) []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, introduction, series())
	for _, m := range Catalogue() {
		meaning := m.Help
		if m.Says != "" {
			meaning += " " + m.Says
		}
		labels := "-"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		used := "-"
		if names := alerts(m.FullName()); len(names) > 0 {
			used = strings.Join(names, ", ")
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", m.FullName(), m.Kind, labels, cell(meaning), used)
	}
	out.WriteString(counting)
	for _, older := range OlderNames() {
		fmt.Fprintf(&out, "| `%s` | `%s` |\n", older.Name, cell(older.Query))
	}
	out.WriteString(pendingNote)
	return out.String()
}

// series words how many series there are, by the catalogue's labels.
func series() string {
	var perPair, perQueue, perSchedule, fixed int
	for _, m := range Catalogue() {
		n := 1
		if m.Kind == Histogram {
			n = len(m.Buckets) + 3 // +Inf, sum and count
		}
		switch strings.Join(m.Labels, " ") {
		case "type queue":
			perPair += n
		case "type queue outcome":
			perPair += n * len(Outcomes())
		case "type queue state":
			perPair += n * len(Ends())
		case "queue":
			perQueue += n
		case "queue state":
			perQueue += n * 7
		case "outcome":
			fixed += n * 2
		case "schedule":
			perSchedule, fixed = perSchedule+n, fixed+n // the dynamic ones count as one
		case "schedule reason":
			perSchedule, fixed = perSchedule+n*2, fixed+n*2
		case "":
			fixed += n
		default:
			panic("labels that are not counted: " + m.Name)
		}
	}
	return fmt.Sprintf("%d *t* + %d *q* + %d *s* + %d", perPair, perQueue, perSchedule, fixed)
}

// cell is text for a table's cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
