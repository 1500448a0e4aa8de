package monitoring

import (
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// panel is one graph or number.
type panel struct {
	title, says string
	kind        string // "timeseries" | "stat"
	unit        string // Grafana's name of it
	width       int    // of 24 columns
	queries     []query
}

type query struct{ expr, legend string }

// row is a headline and the panels below it.
type row struct {
	title  string
	panels []panel
}

const (
	graph  = "timeseries"
	number = "stat"

	perSecond = "ops"
	share     = "percentunit"
	count     = "short"
	duration  = "s"
)

// The variables of the dashboard, in selectors.
const (
	byQueue = `queue=~"$queue"`
	byType  = `queue=~"$queue",type=~"$type"`
)

func rows(s *model.Spec) []row {
	all := []row{overview(), flow(), outcomes(), times(), workers()}
	if promises := promises(s); len(promises.panels) > 0 {
		all = append(all, promises)
	}
	return all
}

func overview() row {
	rate := func(metric, more string) string {
		return fmt.Sprintf("sum(rate(%s{%s%s}[$__rate_interval]))", metric, byType, more)
	}
	return row{"Overview", []panel{
		{
			title: "Finished", kind: number, unit: perSecond, width: 4,
			says:    "Tasks that ended, a second, however they ended.",
			queries: []query{{rate(tasksFinished, ""), ""}},
		},
		{
			title: "Succeed", kind: number, unit: share, width: 4,
			says: "Of the tasks that ended; cancelled ones are not counted.",
			queries: []query{{fmt.Sprintf("%s\n/\n%s",
				rate(tasksFinished, `,state="succeeded"`), rate(tasksFinished, `,state=~"succeeded|dead|expired"`)), ""}},
		},
		{
			title: "Waiting", kind: number, unit: count, width: 4,
			says:    "Tasks that are ready and not running yet.",
			queries: []query{{fmt.Sprintf(`sum(max by (queue) (%s{%s,state="ready"}))`, tasks, byQueue), ""}},
		},
		{
			title: "Oldest waiting", kind: number, unit: duration, width: 4,
			says:    "How long the task that waits longest has been ready.",
			queries: []query{{fmt.Sprintf("max(%s{%s})", oldestReady, byQueue), ""}},
		},
		{
			title: "Utilisation", kind: number, unit: share, width: 4,
			says:    "Slots that run a task, of all slots of all workers.",
			queries: []query{{fmt.Sprintf("sum(%s) / sum(%s)", workerBusySlots, workerSlots), ""}},
		},
		{
			title: "Dead letters", kind: number, unit: count, width: 4,
			says:    "Tasks that wait to be redriven or purged.",
			queries: []query{{fmt.Sprintf(`sum(max by (queue) (%s{%s,state="dead"}))`, tasks, byQueue), ""}},
		},
	}}
}

func flow() row {
	return row{"Flow", []panel{
		{
			title: "Throughput", kind: graph, unit: perSecond, width: 12,
			says: "Tasks taken in and tasks that ended. Where more come than end, a queue grows.",
			queries: []query{
				{fmt.Sprintf("sum by (queue) (rate(%s{%s}[$__rate_interval]))", tasksEnqueued, byType), "{{queue}} enqueued"},
				{fmt.Sprintf("sum by (queue) (rate(%s{%s}[$__rate_interval]))", tasksFinished, byType), "{{queue}} finished"},
			},
		},
		{
			title: "Depth by queue", kind: graph, unit: count, width: 12,
			says:    "Tasks that are not finished, by state. The leader counts them; a very long queue is estimated.",
			queries: []query{{fmt.Sprintf(`max by (queue, state) (%s{%s,state!="dead"})`, tasks, byQueue), "{{queue}} {{state}}"}},
		},
		{
			title: "Oldest waiting task", kind: graph, unit: duration, width: 12,
			says:    "The best single sign of a queue that is stuck.",
			queries: []query{{fmt.Sprintf("max by (queue) (%s{%s})", oldestReady, byQueue), "{{queue}}"}},
		},
		{
			title: "Utilisation", kind: graph, unit: share, width: 12,
			says:    "Busy slots of each process that works. At 100% for long, tasks wait for workers.",
			queries: []query{{fmt.Sprintf("sum by (instance) (%s) / sum by (instance) (%s)", workerBusySlots, workerSlots), "{{instance}}"}},
		},
	}}
}

func outcomes() row {
	ended := func(states string) string {
		return fmt.Sprintf(`sum by (type) (rate(%s{%s,state=~"%s"}[$__rate_interval]))`, tasksFinished, byType, states)
	}
	return row{"Success and failure", []panel{
		{
			title: "Success rate", kind: graph, unit: share, width: 12,
			says:    "Of the tasks that ended, retries included; cancelled ones are not counted.",
			queries: []query{{ended("succeeded") + "\n/\n" + ended("succeeded|dead|expired"), "{{type}}"}},
		},
		{
			title: "Failures", kind: graph, unit: perSecond, width: 12,
			says:    "Tasks that died or expired.",
			queries: []query{{fmt.Sprintf(`sum by (type, state) (rate(%s{%s,state=~"dead|expired"}[$__rate_interval]))`, tasksFinished, byType), "{{type}} {{state}}"}},
		},
		{
			title: "Retries", kind: graph, unit: perSecond, width: 12,
			says:    "Attempts that failed and will be repeated.",
			queries: []query{{fmt.Sprintf(`sum by (type) (rate(%s{%s,outcome="retried"}[$__rate_interval]))`, attempts, byType), "{{type}}"}},
		},
		{
			title: "Dead letters", kind: graph, unit: count, width: 12,
			says: "How many there are, and how many came within the hour.",
			queries: []query{
				{fmt.Sprintf(`max by (queue) (%s{%s,state="dead"})`, tasks, byQueue), "{{queue}}"},
				{fmt.Sprintf(`sum by (type) (increase(%s{%s,state="dead"}[1h]))`, tasksFinished, byType), "{{type}} in the hour"},
			},
		},
		{
			title: "Attempts by outcome", kind: graph, unit: perSecond, width: 24,
			says:    "What became of every attempt.",
			queries: []query{{fmt.Sprintf("sum by (outcome) (rate(%s{%s}[$__rate_interval]))", attempts, byType), "{{outcome}}"}},
		},
	}}
}

func times() row {
	percentiles := func(metric, selector, label string) []query {
		list := make([]query, 0, 3)
		for _, p := range []string{"0.5", "0.95", "0.99"} {
			list = append(list, query{
				fmt.Sprintf("histogram_quantile(%s, sum by (%s, le) (rate(%s_bucket{%s}[$__rate_interval])))", p, label, metric, selector),
				fmt.Sprintf("{{%s}} p%s", label, map[string]string{"0.5": "50", "0.95": "95", "0.99": "99"}[p]),
			})
		}
		return list
	}
	return row{"Times", []panel{
		{
			title: "Duration", kind: graph, unit: duration, width: 12,
			says:    "How long handlers take, an attempt.",
			queries: percentiles(attemptDuration, byType, "type"),
		},
		{
			title: "Wait", kind: graph, unit: duration, width: 12,
			says:    "From when a task is ready to the start of its attempt. A delay that was asked for is not waiting.",
			queries: percentiles(queueWait, byQueue, "queue"),
		},
		{
			title: "Database", kind: graph, unit: duration, width: 24,
			says: "The slowest hundredth of the two statements on the hot path.",
			queries: []query{
				{fmt.Sprintf("histogram_quantile(0.99, sum by (le) (rate(%s_bucket[$__rate_interval])))", claimDuration), "claim p99"},
				{fmt.Sprintf("histogram_quantile(0.99, sum by (le) (rate(%s_bucket[$__rate_interval])))", finishDuration), "finish p99"},
			},
		},
	}}
}

func workers() row {
	return row{"Workers", []panel{
		{
			title: "Leader", kind: graph, unit: count, width: 12,
			says:    "1 for the process that leads.",
			queries: []query{{fmt.Sprintf("max by (instance) (%s)", leader), "{{instance}}"}},
		},
		{
			title: "Crashes and lost leases", kind: graph, unit: count, width: 12,
			says: "Workers that were declared dead, and workers that were alive and too silent; within the hour.",
			queries: []query{
				{fmt.Sprintf("sum(increase(%s[1h]))", workerCrashes), "crashes"},
				{fmt.Sprintf("sum(increase(%s[1h]))", leasesLost), "leases lost"},
			},
		},
	}}
}

// promises are the service levels of the spec. The queries read what the rules
// record.
func promises(s *model.Spec) row {
	r := row{title: "Service levels"}
	for _, o := range objectives(s) {
		says := "How many times as fast as would spend the error budget in 30 days. At 1 it is just spent."
		if by := o.measuredBy(); by != "" {
			says += " It is " + by + "."
		}
		p := panel{title: o.String(), says: says, kind: graph, unit: count, width: 12}
		for _, window := range []string{"1h", "6h"} {
			p.queries = append(p.queries, query{
				fmt.Sprintf("%s / %s", o.series(window), decimal(int(fullShare-o.share), int(fullShare))), "over " + window,
			})
		}
		r.panels = append(r.panels, p)
	}
	return r
}
