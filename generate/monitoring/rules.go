package monitoring

import (
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// rule is a recording or an alert rule.
type rule struct {
	record      string // name of the series; "" for an alert
	alert       string
	expr        string
	wait        string // how long the expression must hold; "" is not at all
	labels      []pair
	annotations []pair
}

type pair struct{ key, value string }

type ruleGroup struct {
	name     string
	comment  string
	interval string // "" is Prometheus's own
	rules    []rule
}

// Severities: a page wakes somebody, a ticket waits for the morning.
const (
	page   = "page"
	ticket = "ticket"
)

func rulesText(s *model.Spec) []byte {
	groups := []ruleGroup{healthGroup()}
	for _, o := range objectives(s) {
		groups = append(groups, o.groups()...)
	}
	return writeRules(mark(s), groups)
}

// groups are the rules of one objective.
func (o objective) groups() []ruleGroup {
	var groups []ruleGroup
	name := fmt.Sprintf("orchestrator:%s:%s:%s", o.label, o.subject, o.name)
	for _, recorded := range recordedWindows {
		g := ruleGroup{name: name, interval: recorded.interval}
		if len(groups) == 0 {
			g.comment = o.String()
			if by := o.measuredBy(); by != "" {
				g.comment += ",\n" + by
			}
			g.comment += "."
		} else {
			g.name += ":slow"
		}
		for _, window := range recorded.windows {
			g.rules = append(g.rules, rule{record: errorRatio + window, expr: o.ratio(window), labels: o.labels()})
		}
		groups = append(groups, g)
	}
	alerts := &groups[0]
	for _, level := range []struct {
		severity string
		burns    []burn
	}{{page, pageBurns}, {ticket, ticketBurns}} {
		if expr := o.expression(level.burns); expr != "" {
			alerts.rules = append(alerts.rules, o.alert(level.severity, expr))
		}
	}
	return groups
}

func (o objective) alert(severity, expr string) rule {
	r := rule{alert: "OrchestratorTasksStartLate", expr: expr, labels: append([]pair{{"severity", severity}}, o.labels()...)}
	happened, look := "started late", fmt.Sprintf("orchestrator status; is queue %s paused, short of workers, or behind a slow task?", o.queue)
	if o.name == "succeed" {
		r.alert = "OrchestratorTasksFail"
		happened, look = "died or expired", fmt.Sprintf("orchestrator dead list --%s %s", o.label, o.subject)
	}
	r.annotations = []pair{
		{"summary", fmt.Sprintf("%s: the error budget burns too fast", o)},
		{"description", fmt.Sprintf("{{ $value | humanizePercentage }} of tasks %s, and at most %s may in the long run. Look: %s",
			happened, fullShare-o.share, look)},
	}
	return r
}

const fullShare model.Share = 1_000_000

// healthGroup are the rules that every spec has. They look at everything the
// Prometheus scrapes as at one cluster of workers on one database.
func healthGroup() ruleGroup {
	return ruleGroup{
		name:    "orchestrator:health",
		comment: "The health of the whole, whatever the spec promises.",
		rules: []rule{
			{
				alert: "OrchestratorDeadLettersGrow",
				expr:  fmt.Sprintf("sum by (type, queue) (increase(%s{state=\"dead\"}[15m])) > 0", tasksFinished),
				labels: []pair{
					{"severity", ticket},
				},
				annotations: []pair{
					{"summary", "{{ $labels.type }}: tasks end as dead letters"},
					{"description", "{{ $value | humanize }} in 15 minutes. They stay until somebody redrives or purges them. Look: orchestrator dead list --type {{ $labels.type }}"},
				},
			},
			{
				// The depth comes from the leader; a new one repeats it, hence max.
				alert: "OrchestratorQueueStalled",
				expr: fmt.Sprintf("max by (queue) (%s) > 60\nunless on (queue)\nsum by (queue) (rate(%s[5m])) > 0",
					oldestReady, attempts),
				wait:   "5m",
				labels: []pair{{"severity", page}},
				annotations: []pair{
					{"summary", "{{ $labels.queue }}: tasks are ready and none is worked"},
					{"description", "The oldest has waited for {{ $value | humanizeDuration }}. Is the queue paused, does a worker handle its types, do all slots hang? Look: orchestrator status"},
				},
			},
			{
				alert:  "OrchestratorNoWorker",
				expr:   fmt.Sprintf("absent(%s > 0)", workerSlots),
				wait:   "2m",
				labels: []pair{{"severity", page}},
				annotations: []pair{
					{"summary", "No worker runs"},
					{"description", "No process with a free or busy slot is scraped: nothing is worked. Look: orchestrator status, and the targets of Prometheus"},
				},
			},
			{
				alert:  "OrchestratorNoLeader",
				expr:   fmt.Sprintf("absent(%s == 1)", leader),
				wait:   "2m",
				labels: []pair{{"severity", page}},
				annotations: []pair{
					{"summary", "No worker leads"},
					{"description", "Schedules do not fire, and tasks of dead workers are not taken back. A new leader follows within LEADER_TERM. Look: the workers' logs"},
				},
			},
			{
				alert:  "OrchestratorTwoLeaders",
				expr:   fmt.Sprintf("sum(%s) > 1", leader),
				wait:   "5m",
				labels: []pair{{"severity", ticket}},
				annotations: []pair{
					{"summary", "{{ $value }} workers believe they lead"},
					{"description", "The leader's epoch keeps this harmless, but it should pass within LEADER_TERM. Does this Prometheus scrape the workers of two databases?"},
				},
			},
			{
				alert:  "OrchestratorLeasesLost",
				expr:   fmt.Sprintf("sum by (instance) (increase(%s[15m])) > 0", leasesLost),
				labels: []pair{{"severity", ticket}},
				annotations: []pair{
					{"summary", "{{ $labels.instance }} lost its lease"},
					{"description", "It could not renew it within WORKER_TIMEOUT, so its tasks were given to others and run again. Was it frozen, starved of CPU, or cut off from the database?"},
				},
			},
			{
				alert:  "OrchestratorWorkersDie",
				expr:   fmt.Sprintf("sum(increase(%s[15m])) > 0", workerCrashes),
				labels: []pair{{"severity", ticket}},
				annotations: []pair{
					{"summary", "Workers die"},
					{"description", "{{ $value | humanize }} in 15 minutes ended without a goodbye: killed, out of memory, crashed by a task, or cut off. Their tasks run again, and one that crashes its workers too often becomes a dead letter. Look: orchestrator tasks list --state retrying,dead"},
				},
			},
		},
	}
}
