package orchestrator

import (
	"cmp"
)

// tune makes the pool keep to settings. It starts what they allow now, and
// returns the buffered jobs that are paused.
func (p *pool) tune(s *settings) (paused []*job) {
	p.mu.Lock()
	p.settings = s
	size := p.w.config.PoolSize
	for name, q := range p.queues {
		q.perWorker = cmp.Or(s.queues[name].PerWorker, q.declared)
		q.limitTotal(s.queues[name].Total)
		if p.w.config.PoolSize == 0 {
			size += q.perWorker
		}
	}
	p.w.client.metrics.Slots(p.resize(size))
	p.mu.Unlock()
	paused = p.unbuffer(p.paused)
	p.startMore()
	return paused
}

// resize returns how many slots there are more, for the metric, which counts
// only workers that run. The caller holds mu.
func (p *pool) resize(size int) (more int) {
	if p.counted {
		more = size - p.size
	}
	p.size = size
	return more
}

// count adds the pool's slots to the metric until uncount.
func (p *pool) count() (uncount func()) {
	set := func(counted bool, sign int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.counted = counted
		p.w.client.metrics.Slots(sign * p.size)
	}
	set(true, 1)
	return func() { set(false, -1) }
}

// slotsNow is how many tasks the worker can run at a time.
func (p *pool) slotsNow() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// paused tells whether j is not to be started. The caller holds mu.
func (p *pool) paused(j *job) bool {
	return p.settings.queues[j.Queue].Paused || p.settings.types[j.route.definition.Name].paused
}

// startMore starts what the slots that have come up allow.
func (p *pool) startMore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start()
	signal(p.room)
}

// limitTotal makes the queue's limit over all workers what is changed to total,
// or 0 for what is declared. A limit that is new lets nothing start before the
// worker has been granted its share.
func (s *slots) limitTotal(changed int) {
	total := cmp.Or(changed, s.declaredTotal)
	if total > 0 && s.total == 0 {
		s.granted = 0
	}
	s.total = total
}

// limit is how many tasks of the queue may run here at a time.
func (s *slots) limit() int {
	if s.total > 0 {
		return min(s.perWorker, s.granted)
	}
	return s.perWorker
}
