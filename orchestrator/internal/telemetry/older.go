package telemetry

// Older names a metric of the system that this engine follows, and what
// replaces it.
type Older struct{ Name, Query string }

// OlderNames are for those who bring dashboards along.
func OlderNames() []Older {
	return []Older{
		{"tasks_enqueued_total{type}", "sum by (type) (orchestrator_tasks_enqueued_total)"},
		{"tasks_completed_total{type,status}", "sum by (type, state) (orchestrator_tasks_finished_total)"},
		{"tasks_pending{type}", `sum by (queue) (max by (queue, state) (orchestrator_tasks{state=~"ready|scheduled|retrying|blocked|throttled"}))`},
		{"task_duration_seconds{type}", "sum by (type, le) (rate(orchestrator_attempt_duration_seconds_bucket[5m]))"},
		{"leader_status{worker_id}", "orchestrator_leader"},
	}
}
