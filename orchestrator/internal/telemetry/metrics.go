package telemetry

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of an attempt: the values of the label outcome.
const (
	Succeeded = "succeeded"
	Retried   = "retried"
	Snoozed   = "snoozed"
	Cancelled = "cancelled"
	Expired   = "expired"
	Dead      = "dead"
	LeaseLost = "lease_lost"
	Released  = "released" // given back by a worker that stops
)

// Metrics are the engine's metrics.
type Metrics struct {
	enqueued   *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	wait       *prometheus.HistogramVec
	claimSize  prometheus.Histogram
	claimTime  prometheus.Histogram
	finishSize prometheus.Histogram
	finishTime prometheus.Histogram
	slots      prometheus.Gauge
	busy       prometheus.Gauge
	leader     prometheus.Gauge
	leasesLost prometheus.Counter
	recovered  *prometheus.CounterVec
}

var (
	// From a no-op to the longest default timeout and beyond.
	attemptBuckets = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800, 7200}
	waitBuckets    = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 15, 60, 300, 1800, 7200, 43200}
	// Of one statement.
	statementBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
	sizeBuckets      = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500}
)

// NewMetrics registers the metrics with r. With a nil r it returns nil. Metrics
// that are registered already, by another client of the process, are shared.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	if r == nil {
		return nil, nil
	}
	reg := registration{to: r}
	m := &Metrics{
		enqueued: add(&reg, counters("tasks_enqueued_total", "Tasks taken into the queue.", "type", "queue")),
		attempts: add(&reg, counters("attempts_total", "Attempts by how they ended.", "type", "queue", "outcome")),
		duration: add(&reg, histograms("attempt_duration_seconds", "Time a handler took.", attemptBuckets, "type", "queue")),
		wait:     add(&reg, histograms("queue_wait_seconds", "Time from when a task was ready to the start of the attempt.", waitBuckets, "queue")),

		claimSize:  add(&reg, histogram("claim_batch_size", "Tasks a claim returned.", sizeBuckets)),
		claimTime:  add(&reg, histogram("claim_duration_seconds", "Time a claim took.", statementBuckets)),
		finishSize: add(&reg, histogram("finish_batch_size", "Outcomes written together.", sizeBuckets)),
		finishTime: add(&reg, histogram("finish_duration_seconds", "Time it took to write a batch of outcomes.", statementBuckets)),

		slots:      add(&reg, gauge("worker_slots", "Tasks this process's workers can run at a time.")),
		busy:       add(&reg, gauge("worker_busy_slots", "Tasks that run now.")),
		leader:     add(&reg, gauge("leader", "1 while a worker of this process leads.")),
		leasesLost: add(&reg, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "leases_lost_total", Help: "Times a worker of this process lost its lease."})),
		recovered:  add(&reg, counters("tasks_recovered_total", "Tasks of dead workers that this process, as leader, took back (outcome back) or found to have crashed too often (outcome dead).", "outcome")),
	}
	return m, reg.err
}

const namespace = "orchestrator"

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

// registration keeps the first error of several.
type registration struct {
	to  prometheus.Registerer
	err error
}

func add[C prometheus.Collector](r *registration, c C) C {
	err := r.to.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return c
}

// Enqueued counts n tasks.
func (m *Metrics) Enqueued(taskType, queue string, n int) {
	if m != nil {
		m.enqueued.WithLabelValues(taskType, queue).Add(float64(n))
	}
}

// Claimed records a claim.
func (m *Metrics) Claimed(n int, took time.Duration) {
	if m != nil {
		m.claimSize.Observe(float64(n))
		m.claimTime.Observe(took.Seconds())
	}
}

// Finished records the writing of a batch of outcomes.
func (m *Metrics) Finished(n int, took time.Duration) {
	if m != nil {
		m.finishSize.Observe(float64(n))
		m.finishTime.Observe(took.Seconds())
	}
}

// Slots records a worker that starts, or with a negative n one that stops.
func (m *Metrics) Slots(n int) {
	if m != nil {
		m.slots.Add(float64(n))
	}
}

// Leads records whether a worker of this process leads.
func (m *Metrics) Leads(yes bool) {
	if m == nil {
		return
	}
	m.leader.Set(0)
	if yes {
		m.leader.Set(1)
	}
}

// LeaseLost counts a lost lease.
func (m *Metrics) LeaseLost() {
	if m != nil {
		m.leasesLost.Inc()
	}
}

// Recovered counts tasks of dead workers.
func (m *Metrics) Recovered(back, dead int) {
	if m != nil {
		m.recovered.WithLabelValues("back").Add(float64(back))
		m.recovered.WithLabelValues(Dead).Add(float64(dead))
	}
}

// TaskMetrics are the metrics of one task type in one queue, looked up once.
type TaskMetrics struct {
	duration prometheus.Observer
	wait     prometheus.Observer
	busy     prometheus.Gauge
	outcomes map[string]prometheus.Counter
}

// Task returns the metrics of a task type in a queue.
func (m *Metrics) Task(taskType, queue string) *TaskMetrics {
	if m == nil {
		return nil
	}
	t := &TaskMetrics{
		duration: m.duration.WithLabelValues(taskType, queue), wait: m.wait.WithLabelValues(queue), busy: m.busy,
		outcomes: map[string]prometheus.Counter{},
	}
	for _, outcome := range []string{Succeeded, Retried, Snoozed, Cancelled, Expired, Dead, LeaseLost, Released} {
		t.outcomes[outcome] = m.attempts.WithLabelValues(taskType, queue, outcome)
	}
	return t
}

// Started records the start of an attempt that has waited.
func (t *TaskMetrics) Started(waited time.Duration) {
	if t != nil {
		t.wait.Observe(max(waited, 0).Seconds())
		t.busy.Inc()
	}
}

// Ended records how long the handler took. traceID, if not empty, becomes the
// exemplar.
func (t *TaskMetrics) Ended(took time.Duration, traceID string) {
	if t == nil {
		return
	}
	t.busy.Dec()
	if with, ok := t.duration.(prometheus.ExemplarObserver); ok && traceID != "" {
		with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
		return
	}
	t.duration.Observe(took.Seconds())
}

// Outcome counts what became of an attempt, or of a task that had none.
func (t *TaskMetrics) Outcome(outcome string) {
	if t != nil {
		t.outcomes[outcome].Inc()
	}
}
