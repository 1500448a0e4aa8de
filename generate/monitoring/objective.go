package monitoring

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// startShare is how many tasks must start within start_within.
const startShare model.Share = 990_000

// objective is one promise about the tasks of a type or a queue.
type objective struct {
	name    string // "succeed" | "start_within", as in the spec
	label   string // "type" | "queue"
	subject string // the name of the task type or queue
	share   model.Share
	// of start_within: what was promised, where it is measured, and the queue
	// whose waits are counted.
	within, measured time.Duration
	queue            string
}

// objectives lists the promises of a spec: queues first, each by name.
func objectives(s *model.Spec) []objective {
	var all []objective
	add := func(o objective, slo *model.SLO) {
		if slo == nil {
			return
		}
		if slo.StartWithin > 0 {
			o.name, o.share, o.within, o.measured = "start_within", startShare, slo.StartWithin, model.MeasuredAt(slo.StartWithin)
			all = append(all, o)
		}
		if slo.Succeed > 0 {
			o.name, o.share, o.within, o.measured = "succeed", slo.Succeed, 0, 0
			all = append(all, o)
		}
	}
	for _, q := range s.Queues {
		add(objective{label: "queue", subject: q.Name, queue: q.Name}, q.SLO)
	}
	for _, t := range s.Tasks {
		add(objective{label: "type", subject: t.Name, queue: t.Queue.Name}, t.SLO)
	}
	return all
}

// String words the promise: "email:send: 99.5% succeed".
func (o objective) String() string {
	if o.name == "succeed" {
		return fmt.Sprintf("%s %s: %s of tasks succeed", o.noun(), o.subject, o.share)
	}
	return fmt.Sprintf("%s %s: %s of tasks start within %s", o.noun(), o.subject, o.share, spec.FormatDuration(o.within))
}

func (o objective) noun() string {
	if o.label == "type" {
		return "task"
	}
	return o.label
}

// measuredBy says where the measure differs from the promise; "" where it does
// not.
func (o objective) measuredBy() string {
	if o.name == "succeed" {
		return ""
	}
	var notes []string
	if o.label == "type" {
		notes = append(notes, fmt.Sprintf("over all tasks of queue %s, since waits are counted by queue", o.queue))
	}
	if o.measured != o.within {
		notes = append(notes, fmt.Sprintf("at %s, the next bound at which waits are counted", spec.FormatDuration(o.measured)))
	}
	if len(notes) == 0 {
		return ""
	}
	return "measured " + strings.Join(notes, ", ")
}

// labels tell the objective's series from those of others. A promise of a
// queue has no type, and one of a type no queue.
func (o objective) labels() []pair {
	return []pair{{"objective", o.name}, {o.label, o.subject}}
}

// series selects the recorded error ratio over a window.
func (o objective) series(window string) string {
	return fmt.Sprintf(`%s%s{objective=%q,%s=%q}`, errorRatio, window, o.name, o.label, o.subject)
}

// errorRatio begins the names of the recorded series; the window follows.
const errorRatio = "orchestrator:slo_errors:ratio_rate"

// ratio is the share of tasks that broke the promise within a window.
func (o objective) ratio(window string) string {
	if o.name == "succeed" {
		// A cancelled task was somebody's wish: it neither kept the promise
		// nor broke it.
		return fmt.Sprintf("sum(rate(%[1]s{%[2]s=%[3]q,state=~\"dead|expired\"}[%[4]s]))\n/\nsum(rate(%[1]s{%[2]s=%[3]q,state=~\"succeeded|dead|expired\"}[%[4]s]))",
			tasksFinished, o.label, o.subject, window)
	}
	return fmt.Sprintf("1 - (\n  sum(rate(%[1]s_bucket{queue=%[2]q,le=~%[3]q}[%[4]s]))\n  /\n  sum(rate(%[1]s_count{queue=%[2]q}[%[4]s]))\n)",
		queueWait, o.queue, bucket(o.measured), window)
}

// bucket matches the label le of a bound, however it was scraped: 60 in the
// classic text format, 60.0 in OpenMetrics and in Prometheus 3.
func bucket(bound time.Duration) string {
	text := strconv.FormatFloat(bound.Seconds(), 'f', -1, 64)
	if strings.Contains(text, ".") {
		return strings.ReplaceAll(text, ".", "[.]")
	}
	return text + "([.]0)?"
}

// burn is a pair of windows over both of which a budget must burn too fast:
// the long one so that it matters, the short one so that it still happens.
type burn struct {
	long, short string
	tenths      int // how many tenths as fast as would spend the budget in 30 days
}

// The windows and factors of The Site Reliability Workbook, chapter 5,
// "Alerting on SLOs", section 6, "Multiwindow, Multi-Burn-Rate Alerts", for a
// budget over 30 days.
var (
	pageBurns   = []burn{{"1h", "5m", 144}, {"6h", "30m", 60}}
	ticketBurns = []burn{{"1d", "2h", 30}, {"3d", "6h", 10}}
)

// recordedWindows are the windows of all pairs. Those from a day on move
// slowly and cost much, so they are recorded less often, though not so seldom
// that they go stale between (5m).
var recordedWindows = []struct {
	windows  []string
	interval string
}{
	{[]string{"5m", "30m", "1h", "2h", "6h"}, ""},
	{[]string{"1d", "3d"}, "2m"},
}

// expression is true while one of the pairs burns the budget. It is "" when
// none ever could: where a promise is low, even failing all the time does not
// burn its budget 14.4 times as fast as allowed.
func (o objective) expression(burns []burn) string {
	budget := int(spec.Whole - o.share)
	var pairs []string
	for _, b := range burns {
		if b.tenths*budget >= 10*int(spec.Whole) {
			continue
		}
		limit := fmt.Sprintf("(%s * %s)", decimal(b.tenths, 10), decimal(budget, int(spec.Whole)))
		pairs = append(pairs, fmt.Sprintf("(\n  %s > %s\nand\n  %s > %s\n)", o.series(b.long), limit, o.series(b.short), limit))
	}
	return strings.Join(pairs, "\nor\n")
}

// decimal writes n/of exactly, of being a power of ten.
func decimal(n, of int) string {
	return strconv.FormatFloat(float64(n)/float64(of), 'f', -1, 64)
}
