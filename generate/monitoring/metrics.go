package monitoring

// The engine's metrics that rules and dashboard read; docs/metrics.md describes
// them. tests/monitoring fails when a worker does not expose one of them.
const (
	tasksEnqueued   = "orchestrator_tasks_enqueued_total"     // type, queue
	tasksFinished   = "orchestrator_tasks_finished_total"     // type, queue, state
	attempts        = "orchestrator_attempts_total"           // type, queue, outcome
	attemptDuration = "orchestrator_attempt_duration_seconds" // type, queue
	queueWait       = "orchestrator_queue_wait_seconds"       // queue
	claimDuration   = "orchestrator_claim_duration_seconds"
	finishDuration  = "orchestrator_finish_duration_seconds"
	workerSlots     = "orchestrator_worker_slots"
	workerBusySlots = "orchestrator_worker_busy_slots"
	leader          = "orchestrator_leader"
	leasesLost      = "orchestrator_leases_lost_total"

	// From the leader's process alone. When leadership changes two may have
	// them for a moment, hence max.
	workerCrashes = "orchestrator_worker_crashes_total"
	tasks         = "orchestrator_tasks"                    // queue, state
	oldestReady   = "orchestrator_oldest_ready_age_seconds" // queue
)
