package telemetry

// Kind is a metric's type as Prometheus names it.
type Kind string

// The kinds in use.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric describes one metric. The metrics are made from their descriptions,
// and docs/metrics.md is written from them.
type Metric struct {
	Name    string // without the namespace
	Kind    Kind
	Labels  []string
	Help    string
	Buckets []float64 // of a histogram
	// Says tells a reader more than Help does: what to make of a value.
	Says string
}

// FullName is the name as it is scraped.
func (m Metric) FullName() string { return namespace + "_" + m.Name }

const namespace = "orchestrator"

var (
	// From a no-op to the longest default timeout and beyond.
	attemptBounds = [...]float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800, 7200}
	waitBuckets   = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 15, 60, 300, 1800, 7200, 43200}
	// Of one statement.
	statementBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
	sizeBuckets      = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500}
)

// The catalogue: what clients count, what workers count, what the leader
// counts for the cluster.
var (
	tasksEnqueued = Metric{Name: "tasks_enqueued_total", Kind: Counter, Labels: []string{"type", "queue"},
		Help: "Tasks taken into the queue.",
		Says: "Counted by the client that enqueues. A duplicate that an idempotency key kept out is not counted; what is enqueued in a transaction is counted before the commit."}

	attempts = Metric{Name: "attempts_total", Kind: Counter, Labels: []string{"type", "queue", "outcome"},
		Help: "Attempts by how they ended.",
		Says: "`outcome` is succeeded, retried, snoozed, cancelled, expired, dead, lease_lost or released (given back by a worker that stops). Retries are `outcome=\"retried\"`. Succeeded, retried and dead are there, with 0, from the first task of a type in a queue on, the others when they first count. An attempt that ended with its process is not here but in tasks_recovered_total."}
	tasksFinished = Metric{Name: "tasks_finished_total", Kind: Counter, Labels: []string{"type", "queue", "state"},
		Help: "Tasks that ended, by their last state.",
		Says: "`state` is succeeded, cancelled, expired or dead. Counted once a task, when the database has accepted its end, whoever brought it about: a handler, a crash, or the leader that found it expired. Dead letters are `state=\"dead\"`. All but cancelled are there, with 0, from the first task of a type in a queue on."}
	attemptDuration = Metric{Name: "attempt_duration_seconds", Kind: Histogram, Labels: []string{"type", "queue"}, Buckets: attemptBounds[:],
		Help: "Time a handler took.",
		Says: "With tracing its buckets carry exemplars: the trace id of a sampled attempt."}
	queueWait = Metric{Name: "queue_wait_seconds", Kind: Histogram, Labels: []string{"queue"}, Buckets: waitBuckets,
		Help: "Time from when a task was ready to the start of the attempt.",
		Says: "Counts from run_at: a delay that was asked for, and the backoff before a retry, are not waiting."}

	claimSize = Metric{Name: "claim_batch_size", Kind: Histogram, Buckets: sizeBuckets,
		Help: "Tasks a claim returned."}
	claimDuration = Metric{Name: "claim_duration_seconds", Kind: Histogram, Buckets: statementBuckets,
		Help: "Time a claim took.",
		Says: "One statement and its round trip; for the first tasks of groups a transaction. Slow claims mean a slow database or a table that vacuum cannot clean."}
	finishSize = Metric{Name: "finish_batch_size", Kind: Histogram, Buckets: sizeBuckets,
		Help: "Outcomes written together."}
	finishDuration = Metric{Name: "finish_duration_seconds", Kind: Histogram, Buckets: statementBuckets,
		Help: "Time it took to write a batch of outcomes.",
		Says: "With its commit, so a slow disk shows here first."}

	workerSlots = Metric{Name: "worker_slots", Kind: Gauge,
		Help: "Tasks this process's workers can run at a time."}
	workerBusySlots = Metric{Name: "worker_busy_slots", Kind: Gauge,
		Help: "Tasks that run now.",
		Says: "Utilisation is `sum(orchestrator_worker_busy_slots) / sum(orchestrator_worker_slots)`."}
	stuckHandlers = Metric{Name: "worker_stuck_handlers", Kind: Gauge,
		Help: "Handlers of this process that go on though their contexts ended more than 5 s ago.",
		Says: "Each keeps a slot until it returns: a handler has to watch its context. The log says which task it is."}
	leader = Metric{Name: "leader", Kind: Gauge,
		Help: "1 while a worker of this process leads.",
		Says: "For a moment after a change there may be two, which does no harm; none for longer than LEADER_TERM means that nobody recovers, expires or measures."}
	leasesLost = Metric{Name: "leases_lost_total", Kind: Counter,
		Help: "Times a worker of this process lost its lease.",
		Says: "The process was alive and found that it had been too silent: frozen, starved of CPU, or cut off from the database."}

	workerCrashes = Metric{Name: "worker_crashes_total", Kind: Counter,
		Help: "Workers that this process, as leader, declared dead.",
		Says: "Their heartbeats were older than WORKER_TIMEOUT, without a goodbye: killed, out of memory, or cut off."}
	tasksRecovered = Metric{Name: "tasks_recovered_total", Kind: Counter, Labels: []string{"outcome"},
		Help: "Tasks of dead workers that this process, as leader, took back (outcome back) or found to have crashed too often (outcome dead)."}
	tasks = Metric{Name: "tasks", Kind: Gauge, Labels: []string{"queue", "state"},
		Help: "Tasks of the cluster that are not finished, as the leader last counted them.",
		Says: "`state` is ready, scheduled, retrying, blocked (waits for its group's turn), throttled (waits for a slot of its concurrency limit), running or dead. Only the leader's process has it, so that it is there once a cluster; use `max by (queue, state)`, which is right during a change of leader too. In a table of more than 40 MB it is an estimate: see below."}
	oldestReady = Metric{Name: "oldest_ready_age_seconds", Kind: Gauge, Labels: []string{"queue"},
		Help: "How long the task that waits longest in a queue has been ready, 0 when none waits, as the leader last saw it.",
		Says: "The best single sign of a queue that is stuck, at any rate of tasks. Exact, whatever the table's size. Only the leader's process has it: `max by (queue)`."}
	depthDuration = Metric{Name: "depth_duration_seconds", Kind: Gauge,
		Help: "Time the leader's last count of tasks took.",
		Says: "Counts take at most a twentieth of the leader's time: a slow one is followed by a longer pause."}
)

// What the leader counts of schedules.
var (
	schedulesFired = Metric{Name: "schedules_fired_total", Kind: Counter, Labels: []string{"schedule"},
		Help: "Tasks that this process, as leader, has enqueued for due times of schedules.",
		Says: "`schedule` is the name of a declared schedule, and `(dynamic)` for all that were put at run time, so that it has no more values than the spec has schedules. Alert on one that should have: `increase(sum by (schedule) (orchestrator_schedules_fired_total)[25h:]) < 1`."}
	schedulesSkipped = Metric{Name: "schedules_skipped_total", Kind: Counter, Labels: []string{"schedule", "reason"},
		Help: "Due times of schedules that got no task.",
		Says: "`reason` is missed (they passed while no leader was there, and `missed` is skip or run_once) or overlap (the task before was live, and `overlap` is skip)."}
	scheduleLag = Metric{Name: "schedule_lag_seconds", Kind: Histogram, Buckets: waitBuckets,
		Help: "Time from a due time to the enqueue of its task.",
		Says: "Milliseconds while there is a leader; more after a change of leader, and when missed due times are made up for."}
)

// Catalogue lists all metrics in the order in which they are documented.
func Catalogue() []Metric {
	return []Metric{
		tasksEnqueued, attempts, tasksFinished, attemptDuration, queueWait,
		claimSize, claimDuration, finishSize, finishDuration,
		workerSlots, workerBusySlots, stuckHandlers, leader, leasesLost,
		workerCrashes, tasksRecovered, tasks, oldestReady, depthDuration,
		schedulesFired, schedulesSkipped, scheduleLag,
	}
}
