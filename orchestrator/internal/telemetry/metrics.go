package telemetry

import (
	"errors"
	"sync"
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

var (
	outcomes = [...]string{Succeeded, Retried, Snoozed, Cancelled, Expired, Dead, LeaseLost, Released}
	ends     = [...]string{Succeeded, Cancelled, Expired, Dead}
)

// Outcomes are all of them.
func Outcomes() []string { return outcomes[:] }

// Ends are the states in which a task can end: the values of the label state
// of tasks_finished_total.
func Ends() []string { return ends[:] }

// Metrics are the engine's metrics.
type Metrics struct {
	enqueued   *prometheus.CounterVec
	series     *taskSeries
	wait       *prometheus.HistogramVec
	claimSize  prometheus.Observer
	claimTime  prometheus.Observer
	finishSize prometheus.Observer
	finishTime prometheus.Observer
	slots      prometheus.Gauge
	busy       prometheus.Gauge
	stuck      prometheus.Gauge
	leader     prometheus.Gauge
	leasesLost prometheus.Counter
	crashes    prometheus.Counter
	recovered  *prometheus.CounterVec
	tasks      *prometheus.GaugeVec
	oldest     *prometheus.GaugeVec
	depthTime  *prometheus.GaugeVec
	fired      *prometheus.CounterVec
	skipped    *prometheus.CounterVec
	lag        prometheus.Observer

	mu     sync.RWMutex
	worked map[pair]*TaskMetrics // guarded by mu
}

// NewMetrics registers the metrics with r. With a nil r it returns nil. Metrics
// that are registered already, by another client of the process, are shared.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	if r == nil {
		return nil, nil
	}
	reg := registration{to: r}
	m := &Metrics{
		worked: map[pair]*TaskMetrics{},

		enqueued: reg.counters(tasksEnqueued),
		series:   add(&reg, newTaskSeries()),
		wait:     reg.histograms(queueWait),

		claimSize:  reg.histograms(claimSize).WithLabelValues(),
		claimTime:  reg.histograms(claimDuration).WithLabelValues(),
		finishSize: reg.histograms(finishSize).WithLabelValues(),
		finishTime: reg.histograms(finishDuration).WithLabelValues(),

		slots:      reg.gauges(workerSlots).WithLabelValues(),
		busy:       reg.gauges(workerBusySlots).WithLabelValues(),
		stuck:      reg.gauges(stuckHandlers).WithLabelValues(),
		leader:     reg.gauges(leader).WithLabelValues(),
		leasesLost: reg.counters(leasesLost).WithLabelValues(),
		crashes:    reg.counters(workerCrashes).WithLabelValues(),
		recovered:  reg.counters(tasksRecovered),
		tasks:      reg.gauges(tasks),
		oldest:     reg.gauges(oldestReady),
		depthTime:  reg.gauges(depthDuration),
		fired:      reg.counters(schedulesFired),
		skipped:    reg.counters(schedulesSkipped),
		lag:        reg.histograms(scheduleLag).WithLabelValues(),
	}
	return m, reg.err
}

// registration keeps the first error of several.
type registration struct {
	to  prometheus.Registerer
	err error
}

func (r *registration) counters(m Metric) *prometheus.CounterVec {
	return add(r, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: m.Name, Help: m.Help}, m.Labels))
}

func (r *registration) gauges(m Metric) *prometheus.GaugeVec {
	return add(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: m.Name, Help: m.Help}, m.Labels))
}

// histograms are classic ones only: where both kinds are exposed and native
// ones are enabled, Prometheus keeps the native and queries for buckets go
// empty.
func (r *registration) histograms(m Metric) *prometheus.HistogramVec {
	return add(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels))
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

// Ended counts n tasks that ended outside an attempt; state is one of [Ends].
func (m *Metrics) Ended(taskType, queue, state string, n int) {
	if m != nil {
		m.series.of(pair{taskType, queue}).countEnds(state, n)
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

// Stuck counts handlers that ignore their cancelled contexts, or with a
// negative n those that have returned after all.
func (m *Metrics) Stuck(n int) {
	if m != nil {
		m.stuck.Add(float64(n))
	}
}

// Leads records whether a worker of this process leads. One that does not has
// nothing to say of the cluster's depth.
func (m *Metrics) Leads(yes bool) {
	if m == nil {
		return
	}
	if yes {
		m.leader.Set(1)
		return
	}
	m.leader.Set(0)
	m.tasks.Reset()
	m.oldest.Reset()
	m.depthTime.Reset()
}

// ScheduleFired records the tasks of a schedule by how late they were
// enqueued, and the due times that got none.
func (m *Metrics) ScheduleFired(schedule string, late []time.Duration, missed, overlapped int) {
	if m == nil {
		return
	}
	m.fired.WithLabelValues(schedule).Add(float64(len(late)))
	for _, one := range late {
		m.lag.Observe(max(one, 0).Seconds())
	}
	m.skipped.WithLabelValues(schedule, "missed").Add(float64(missed))
	m.skipped.WithLabelValues(schedule, "overlap").Add(float64(overlapped))
}

// LeaseLost counts a lost lease.
func (m *Metrics) LeaseLost() {
	if m != nil {
		m.leasesLost.Inc()
	}
}

// Recovered counts dead workers and their tasks.
func (m *Metrics) Recovered(workers, back, dead int) {
	if m != nil {
		m.crashes.Add(float64(workers))
		m.recovered.WithLabelValues("back").Add(float64(back))
		m.recovered.WithLabelValues(Dead).Add(float64(dead))
	}
}

// QueueDepth is how many tasks of a queue are in which state, by the states'
// names.
type QueueDepth struct {
	Queue  string
	States map[string]int64
}

// Depth records what the leader counted, in all queues there are.
func (m *Metrics) Depth(depths []QueueDepth, took time.Duration) {
	if m == nil {
		return
	}
	for _, d := range depths {
		for state, n := range d.States {
			m.tasks.WithLabelValues(d.Queue, state).Set(float64(n))
		}
	}
	m.depthTime.WithLabelValues().Set(took.Seconds())
}

// OldestReady records how long a queue's oldest ready task has waited.
func (m *Metrics) OldestReady(queue string, age time.Duration) {
	if m != nil {
		m.oldest.WithLabelValues(queue).Set(max(age, 0).Seconds())
	}
}

// TaskMetrics are the metrics of one task type in one queue.
type TaskMetrics struct {
	series *pairSeries
	wait   prometheus.Observer
	busy   prometheus.Gauge
}

// Task returns the metrics of a task type in a queue that a worker handles.
func (m *Metrics) Task(taskType, queue string) *TaskMetrics {
	if m == nil {
		return nil
	}
	key := pair{taskType, queue}
	m.mu.RLock()
	known := m.worked[key]
	m.mu.RUnlock()
	if known != nil {
		return known
	}
	t := &TaskMetrics{series: m.series.of(key), wait: m.wait.WithLabelValues(queue), busy: m.busy}
	t.series.worked.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.worked[key] = t // somebody else's, made at the same time, is of the same series
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
	t.series.observe(took, traceID)
}

// Outcome counts what became of an attempt, or of a task that had none.
func (t *TaskMetrics) Outcome(outcome string) {
	if t != nil {
		t.series.countOutcome(outcome)
	}
}

// Finished counts a task whose end, one of [Ends], was accepted.
func (t *TaskMetrics) Finished(state string) {
	if t != nil {
		t.series.countEnds(state, 1)
	}
}
