package orchestrator

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// job is a claimed task on its way through a worker.
type job struct {
	*store.Claimed
	*claim
	route   *route
	waited  time.Duration // from when it was ready to the claim, by the database's clock
	metrics *telemetry.TaskMetrics
	attempt attempt

	// The pool's mutex guards the rest.
	slots     *slots               // that it has one of, once it has started
	requested *store.CancelRequest // somebody wants it cancelled
	place     int32                // in the pool's active jobs
	stuck     bool                 // its handler goes on although its context has ended
	ended     time.Duration        // from the claim to when the handler's context was first seen to have ended
}

// claim is what jobs have in common that were claimed together.
type claim struct {
	w       *Worker
	session *session
	number  int64     // of the session's claims
	claimed time.Time // by this process's monotonic clock
}

// fence is what the database knows the job's holder by.
func (j *job) fence() store.Fence {
	return store.Fence{ID: j.ID, Worker: j.session.id, Claim: j.number}
}

// pool runs jobs, each in a goroutine that takes the next one when it is done.
// It keeps a bounded buffer of claimed jobs, so that short tasks do not wait
// for a round trip to the database each.
type pool struct {
	w    *Worker
	size int
	// room is signalled when jobs could be claimed for slots and buffer space
	// that have become free.
	room chan struct{}

	mu       sync.Mutex
	queues   map[string]*slots
	ordered  []*slots // queues, for take, which visits them for every job
	first    int      // in ordered, the one that take visits first: of queues that are equally urgent each gets its turn
	highest  int16    // no buffered job has a higher priority
	active   []*job   // in no order
	buffered int
	enough   int // while more are buffered than this, wants has nothing to say
	low      int // of a queue of which more are buffered, wants says nothing
	suspects []*job
	// suspectRuns holds the next suspect back while one runs whose innocence
	// is not yet plain.
	suspectRuns bool
	starting    bool // a goroutine is started that has not begun
	closed      bool
	settings    *settings     // what people have changed
	counted     bool          // in the metric of slots
	idleSignal  chan struct{} // closed when the pool is closed and nothing runs
	prefetch    prefetch
}

// ended is the place of a job that is not active any more.
const ended = -1

// slots is one queue's share of the pool.
type slots struct {
	declared  int // limit per worker as the spec has it
	perWorker int // as it is now
	// total is the limit over all workers, 0 for none; granted is how many of
	// it are this worker's.
	declaredTotal int
	total         int
	granted       int
	running       int
	buffer        []*job // highest priority first, then as claimed
	ends          endRate
}

func newPool(w *Worker) *pool {
	p := &pool{w: w, room: make(chan struct{}, 1), queues: map[string]*slots{}, enough: math.MaxInt, idleSignal: make(chan struct{})}
	p.settings = &settings{}
	for _, q := range w.routes.queues {
		// A queue without a limit of its own may fill the pool that somebody
		// has given a size.
		limit := cmp.Or(q.PerWorker, w.config.PoolSize, DefaultQueueConcurrency)
		s := &slots{declared: limit, perWorker: limit, declaredTotal: q.Total, total: q.Total, ends: endRate{since: time.Now()}}
		p.queues[q.Name], p.ordered = s, append(p.ordered, s)
		p.size += limit
	}
	if w.config.PoolSize > 0 {
		p.size = w.config.PoolSize
	}
	p.prefetch.ends.since = time.Now()
	return p
}

// room is what a queue has room for.
type room struct {
	any int // tasks
	// paced is how many there is room for of those whose starts are paced by a
	// rate limit: they should start when they are claimed, so the buffer of
	// their queue is made by what ends in their queue alone.
	paced int
}

// wants says how many tasks of each queue and of all together should be
// claimed now. A queue whose buffer is more than half full wants none, and none
// does while together they have as much as that to start, so that claims stay
// few and large.
func (p *pool) wants() (perQueue map[string]room, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ahead := p.prefetch.size()
	p.enough, p.low = math.MaxInt, ahead/2
	total = p.size - len(p.active) - p.buffered + ahead
	if p.closed || total <= 0 {
		return nil, 0
	}
	if more := p.startable() - max(p.size-len(p.active), p.low); more > 0 {
		p.enough = p.buffered - more
		return nil, 0
	}
	total = min(total, maxClaim)
	perQueue = make(map[string]room, len(p.queues))
	for name, s := range p.queues {
		limit := s.limit()
		if len(s.buffer) > p.low || limit == 0 || p.settings.queues[name].Paused {
			continue
		}
		free := limit - s.running - len(s.buffer)
		if n := min(total, free+ahead); n > 0 {
			perQueue[name] = room{n, max(min(n, free+s.ends.ahead(p.prefetch.claim)), 0)}
		}
	}
	return perQueue, total
}

// startable is how many buffered jobs could start if their queues' limits alone
// decided. The caller holds mu.
func (p *pool) startable() (n int) {
	for _, s := range p.ordered {
		n += min(len(s.buffer), max(s.limit()-s.running, 0))
	}
	return n
}

// add takes claimed jobs in and starts as many as there are slots for. It
// returns those that it cannot take, because the pool is closed or they have
// been paused since they were asked for.
func (p *pool) add(jobs []*job) (refused []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return jobs
	}
	touched := map[*slots]bool{}
	for _, j := range jobs {
		if p.paused(j) {
			refused = append(refused, j)
			continue
		}
		p.buffered++
		if j.Suspect {
			p.suspects = append(p.suspects, j)
			continue
		}
		s := p.queues[j.Queue]
		s.buffer = append(s.buffer, j)
		p.highest = max(p.highest, j.Priority)
		touched[s] = true
	}
	for s := range touched {
		byPriority := func(a, b *job) int { return cmp.Compare(b.Priority, a.Priority) }
		if !slices.IsSortedFunc(s.buffer, byPriority) {
			slices.SortStableFunc(s.buffer, byPriority)
		}
	}
	p.start()
	return refused
}

// start sees to it that every buffered job for which there is a slot starts. The
// caller holds mu.
//
// It starts one goroutine, which starts the next before it runs its own job, and
// so on: a goroutine that has not begun yet stands for all that are to follow.
// Jobs that block are all started that way; those that take no time are over
// before another goroutine begins, and need few.
func (p *pool) start() {
	if p.starting {
		return
	}
	if j := p.take(); j != nil {
		p.starting = true
		go p.run(j)
	}
}

// run works j and then whatever is next, until nothing is.
func (p *pool) run(j *job) {
	p.mu.Lock()
	p.starting = false
	p.start()
	p.mu.Unlock()
	for j != nil {
		p.w.work(j)
		j = p.done(j)
	}
}

// done frees j's slot and takes the next job for it.
func (p *pool) done(j *job) (next *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.active[len(p.active)-1]
	p.active[j.place], last.place = last, j.place
	p.active[len(p.active)-1] = nil
	p.active = p.active[:len(p.active)-1]
	j.place = ended
	p.returned(j)
	s := j.slots
	s.running--
	if j.Suspect {
		p.suspectRuns = false
	}
	p.prefetch.ends.done++
	s.ends.done++
	next = p.take()
	if next == nil || p.buffered <= p.enough && len(s.buffer) <= p.low {
		signal(p.room)
	}
	p.signalIdle()
	return next
}

// take moves the most urgent job that has a slot from the buffer to the
// active ones; nil when there is none. The caller holds mu.
func (p *pool) take() *job {
	if p.closed || p.buffered == 0 || len(p.active) >= p.size {
		return nil
	}
	if j := p.takeSuspect(); j != nil {
		return j
	}
	best := p.mostUrgent()
	if best == nil {
		return nil
	}
	j := best.buffer[0]
	best.buffer[0] = nil
	best.buffer = best.buffer[1:]
	return p.activate(j, best)
}

// mostUrgent is the queue whose buffer has the most urgent job that has a slot.
// It looks no further when none could be more urgent: of a hundred queues, to
// look at all would be much of what a short task costs.
func (p *pool) mostUrgent() (best *slots) {
	p.first = (p.first + 1) % len(p.ordered)
	highest := int16(math.MinInt16)
	for _, part := range [...][]*slots{p.ordered[p.first:], p.ordered[:p.first]} {
		for _, s := range part {
			if len(s.buffer) == 0 {
				continue
			}
			priority := s.buffer[0].Priority
			highest = max(highest, priority)
			if s.running >= s.limit() || best != nil && priority <= best.buffer[0].Priority {
				continue
			}
			if best = s; priority >= p.highest {
				return best
			}
		}
	}
	p.highest = highest
	return best
}

// takeSuspect takes a task that was running when a process died. If it is the
// one that kills processes, it should be alone, so they run one at a time.
func (p *pool) takeSuspect() *job {
	if p.suspectRuns {
		return nil
	}
	for i, j := range p.suspects {
		if s := p.queues[j.Queue]; s.running < s.limit() {
			p.suspects = slices.Delete(p.suspects, i, i+1)
			p.suspectRuns = true
			return p.activate(j, s)
		}
	}
	return nil
}

func (p *pool) activate(j *job, s *slots) *job {
	p.buffered--
	s.running++
	j.slots = s
	j.place = int32(len(p.active))
	p.active = append(p.active, j)
	return j
}

// cleared lets the next suspect run beside j, which has run for so long that
// it is unlikely to be what killed a process.
func (p *pool) cleared(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j.place == ended {
		return
	}
	p.suspectRuns = false
	p.start()
}

// stale removes buffered jobs that were claimed more than age ago: whoever has
// a free slot should run them.
func (p *pool) stale(age time.Duration) []*job {
	since := time.Now().Add(-age)
	return p.unbuffer(func(j *job) bool { return !j.Suspect && j.claimed.Before(since) })
}

// drop forgets the buffered jobs of a lost session, and what was granted to it.
func (p *pool) drop(s *session) {
	p.mu.Lock()
	for _, q := range p.queues {
		q.granted = 0
	}
	p.mu.Unlock()
	p.unbuffer(func(j *job) bool { return j.session == s })
}

// close starts nothing more and returns the jobs that had not started.
func (p *pool) close() []*job {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	rest := p.unbuffer(func(*job) bool { return true })
	p.mu.Lock()
	p.signalIdle()
	p.mu.Unlock()
	return rest
}

func (p *pool) unbuffer(which func(*job) bool) (removed []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	filter := func(buffer []*job) []*job {
		return slices.DeleteFunc(buffer, func(j *job) bool {
			if !which(j) {
				return false
			}
			removed = append(removed, j)
			return true
		})
	}
	for _, s := range p.queues {
		s.buffer = filter(s.buffer)
	}
	p.suspects = filter(p.suspects)
	p.buffered -= len(removed)
	return removed
}

// idle is closed when the pool is closed and nothing runs any more.
func (p *pool) idle() <-chan struct{} { return p.idleSignal }

func (p *pool) signalIdle() {
	if !p.closed || len(p.active) > 0 {
		return
	}
	select {
	case <-p.idleSignal:
	default:
		close(p.idleSignal)
	}
}

// hasFreeSlot tells whether a task of a queue could start.
func (p *pool) hasFreeSlot(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.queues[queue]
	return len(p.active)+p.buffered < p.size && s.running+len(s.buffer) < s.limit()
}

func (p *pool) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.active)
}

// held is how many jobs of each queue run or are buffered.
func (p *pool) held() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(map[string]int, len(p.queues))
	for name, s := range p.queues {
		if n := s.running + len(s.buffer); n > 0 {
			held[name] = n
		}
	}
	for _, j := range p.suspects {
		held[j.Queue]++
	}
	return held
}

func (p *pool) running() []*job {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.active)
}

// prefetch sizes the buffer: as many tasks as are likely to end while two
// claims are under way, and some more. Where a task takes longer than a claim
// that is none, so that a long task never waits behind another while some
// other worker is idle. The pool's mutex guards it.
type prefetch struct {
	ends  endRate
	claim float64 // seconds a claim takes, smoothed
}

// endRate measures how many tasks end in a time.
type endRate struct {
	since time.Time
	done  int     // tasks that ended since
	rate  float64 // ends per second, smoothed
}

const (
	maxClaim       = 2000         // tasks; a larger claim takes the database longer than it saves
	maxPrefetch    = 2 * maxClaim // what one claim has brought is worked while the next is under way
	prefetchWindow = 20 * time.Millisecond
	prefetchMargin = 0.010 // seconds; a claim that is a little slower finds the buffer not yet empty
)

func (f *prefetch) size() int { return f.ends.ahead(f.claim) }

// ahead is how many are likely to end while two claims of so many seconds are
// under way.
func (e *endRate) ahead(claim float64) int {
	if elapsed := time.Since(e.since); elapsed >= prefetchWindow {
		e.rate += (float64(e.done)/elapsed.Seconds() - e.rate) / 2
		e.since, e.done = time.Now(), 0
	}
	return min(int(math.Floor(e.rate*(2*claim+prefetchMargin))), maxPrefetch)
}

// claimTook tells the buffer's size how long a claim takes.
func (p *pool) claimTook(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prefetch.claim += (d.Seconds() - p.prefetch.claim) / 4
}

// signal fills a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
