package telemetry

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// taskSeries has the series that every task counts in, by task type and queue.
// They are not in vectors of client_golang: a worker may have thousands of those
// pairs, and there each is a hundred objects, through which every task, and every
// garbage collection, would have to go. Here a pair is one small object, of which
// Prometheus is given metrics when it asks.
type taskSeries struct {
	attempts, finished, duration *prometheus.Desc

	pairs sync.Map // pair -> *pairSeries
}

type pair struct{ taskType, queue string }

// pairSeries are the series of one task type in one queue.
type pairSeries struct {
	exemplars atomic.Pointer[[attemptBuckets]atomic.Pointer[prometheus.Exemplar]] // nil before the first
	// worked says that a worker of this process handles the pair. Of one that has
	// ended tasks as leader alone, there is only what it has counted.
	worked    atomic.Bool
	created   int64 // in nanoseconds since 1970
	outcomes  [len(outcomes)]atomic.Uint64
	ends      [len(ends)]atomic.Uint64
	total     atomic.Uint64                 // seconds of all durations, the bits of a float64
	durations [attemptBuckets]atomic.Uint64 // how many are in which bucket
}

// attemptBuckets is how many buckets durations have, with that of the longest.
const attemptBuckets = len(attemptBounds) + 1

// The outcomes and ends that have series, of 0, from a pair's first task on, so
// that increase() sees their first. Most types never have the others.
var (
	commonOutcomes = []string{Succeeded, Retried, Dead}
	commonEnds     = []string{Succeeded, Expired, Dead}
)

func newTaskSeries() *taskSeries {
	describe := func(m Metric) *prometheus.Desc {
		return prometheus.NewDesc(m.FullName(), m.Help, m.Labels, nil)
	}
	return &taskSeries{attempts: describe(attempts), finished: describe(tasksFinished), duration: describe(attemptDuration)}
}

// of returns the series of a pair.
func (s *taskSeries) of(key pair) *pairSeries {
	if found, ok := s.pairs.Load(key); ok {
		return found.(*pairSeries)
	}
	made, _ := s.pairs.LoadOrStore(key, &pairSeries{created: time.Now().UnixNano()})
	return made.(*pairSeries)
}

func (p *pairSeries) countOutcome(outcome string) {
	p.outcomes[slices.Index(outcomes[:], outcome)].Add(1)
}

func (p *pairSeries) countEnds(state string, n int) {
	p.ends[slices.Index(ends[:], state)].Add(uint64(n))
}

// observe notes how long a handler took. traceID, if not empty, becomes the
// exemplar of the bucket.
func (p *pairSeries) observe(took time.Duration, traceID string) {
	seconds, bucket := took.Seconds(), 0
	for bucket < len(attemptBounds) && seconds > attemptBounds[bucket] {
		bucket++
	}
	for {
		old := p.total.Load()
		if p.total.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+seconds)) {
			break
		}
	}
	p.durations[bucket].Add(1)
	if traceID == "" {
		return
	}
	if p.exemplars.Load() == nil {
		p.exemplars.CompareAndSwap(nil, new([attemptBuckets]atomic.Pointer[prometheus.Exemplar]))
	}
	p.exemplars.Load()[bucket].Store(&prometheus.Exemplar{Value: seconds, Labels: prometheus.Labels{"trace_id": traceID}, Timestamp: time.Now()})
}

// Describe implements [prometheus.Collector].
func (s *taskSeries) Describe(to chan<- *prometheus.Desc) {
	to <- s.attempts
	to <- s.finished
	to <- s.duration
}

// Collect implements [prometheus.Collector].
func (s *taskSeries) Collect(to chan<- prometheus.Metric) {
	s.pairs.Range(func(key, value any) bool {
		of, p := key.(pair), value.(*pairSeries)
		worked, created := p.worked.Load(), time.Unix(0, p.created)
		count := func(desc *prometheus.Desc, values []string, counts []atomic.Uint64, common []string) {
			for i, value := range values {
				if n := counts[i].Load(); n > 0 || worked && slices.Contains(common, value) {
					to <- prometheus.MustNewConstMetricWithCreatedTimestamp(desc, prometheus.CounterValue, float64(n), created, of.taskType, of.queue, value)
				}
			}
		}
		count(s.attempts, outcomes[:], p.outcomes[:], commonOutcomes)
		count(s.finished, ends[:], p.ends[:], commonEnds)
		if worked {
			to <- p.histogram(s.duration, created, of)
		}
		return true
	})
}

// histogram is the metric of the durations. What is observed meanwhile may be in
// its sum and not in its buckets.
func (p *pairSeries) histogram(desc *prometheus.Desc, created time.Time, of pair) prometheus.Metric {
	var count uint64
	upTo := make(map[float64]uint64, len(attemptBounds))
	for i, bound := range attemptBounds {
		count += p.durations[i].Load()
		upTo[bound] = count
	}
	count += p.durations[len(attemptBounds)].Load()
	total := math.Float64frombits(p.total.Load())
	m := prometheus.MustNewConstHistogramWithCreatedTimestamp(desc, count, total, upTo, created, of.taskType, of.queue)
	var examples []prometheus.Exemplar
	if all := p.exemplars.Load(); all != nil {
		for i := range all {
			if one := all[i].Load(); one != nil {
				examples = append(examples, *one)
			}
		}
	}
	if len(examples) == 0 {
		return m
	}
	return prometheus.MustNewMetricWithExemplars(m, examples...)
}
