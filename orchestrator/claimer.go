package orchestrator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// claimer decides when to claim, and hands what it claims to the pool.
type claimer struct {
	w     *Worker
	lanes *lanes
	rates *rates
	// arrivals have no turn or slot yet.
	arrivals *arrivals
	// woken has one place: wakeups that arrive together are one.
	woken chan struct{}

	// again says that the lanes are to be looked at from their beginning.
	again atomic.Bool

	mu     sync.Mutex
	hinted map[lane]bool    // lanes said to have new tasks since the last turn
	dues   []time.Time      // when retries of this worker are due, by its own clock
	unsure []uncertainClaim // of others than the claimer
	// urgent is the highest priority of each queue that has ready tasks.
	urgent atomic.Pointer[map[string]int16]

	// The rest belongs to the goroutine of run.
	full      int           // claims in a row that left tasks behind
	pause     time.Duration // of polling
	idleFrom  time.Time     // when it last became idle
	uncertain []uncertainClaim
	most      int  // rows a claim may ask for, after one that took too long; 0 is any
	backlog   bool // the last claim filled all the room there was
	// passedOver is set when lanes got nothing because others had all the
	// tokens and then did not use them. It is their turn now.
	passedOver bool
}

// An idle claimer polls soon at first, because whoever enqueued just before it
// became idle has not notified it.
const (
	firstPause   = 5 * time.Millisecond
	failurePause = 200 * time.Millisecond // after a failed statement
)

// busyClaims is how many full claims in a row show that a worker has enough to
// do without being notified.
const busyClaims = 8

func newClaimer(w *Worker) *claimer {
	return &claimer{w: w, woken: make(chan struct{}, 1), hinted: map[lane]bool{}, lanes: newLanes(w), rates: newRates(w), arrivals: newArrivals(w), pause: firstPause}
}

// wake says that a lane has new tasks.
func (c *claimer) wake(l lane) {
	c.mu.Lock()
	c.hinted[l] = true
	c.mu.Unlock()
	signal(c.woken)
}

// lookAgain says that tasks which were paused may be claimed.
func (c *claimer) lookAgain() {
	c.again.Store(true)
	signal(c.woken)
}

// wakeAfter says that a task will be ready in d. What is further away than the
// next poll is left to it.
func (c *claimer) wakeAfter(d time.Duration) {
	if d > c.w.config.ClaimInterval {
		return
	}
	c.mu.Lock()
	c.dues = append(c.dues, time.Now().Add(d))
	c.mu.Unlock()
	signal(c.woken)
}

// next is what a claimer does after a turn.
type next int

const (
	claimAgain next = iota
	awaitRoom       // there are tasks, and no slots for them
	awaitTasks
	awaitDatabase // something failed
)

// run claims until ctx ends.
func (c *claimer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		then, err := c.claim(ctx)
		if err != nil {
			c.w.logger.Warn("claim failed; trying again", "error", err)
			then = awaitDatabase
		}
		if then == claimAgain {
			continue
		}
		var room <-chan struct{} // nil: a free slot changes nothing
		if then == awaitRoom {
			room = c.w.pool.room
		}
		timer.Reset(c.wait(then))
		select {
		case <-ctx.Done():
		case <-room:
		case <-c.woken:
		case <-timer.C:
		}
	}
	if err := c.disownFor(ctx, claimTimeout); err != nil {
		c.w.logger.Warn("a claim whose answer was lost is left to recovery", "error", err)
	}
}

// claimTimeout bounds one statement of the claimer. It does not end with the
// worker's context: a claim that is broken off may have happened or not.
const claimTimeout = 10 * time.Second

// claim is one turn: it looks back when that is due, claims from the lanes
// that may have tasks and hands those to the pool, and gives arrivals their turns
// and slots.
func (c *claimer) claim(ctx context.Context) (next, error) {
	c.release(c.w.pool.stale(c.w.config.ClaimInterval))
	if err := c.disownFor(ctx, disownTimeout); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	s := c.w.lease.current.Load()
	if !c.w.lease.holds(s) {
		return awaitTasks, nil // a new session is on its way
	}
	c.hear()
	c.rates.begin()
	wants, total := c.w.pool.wants()
	if len(wants) == 0 && !c.w.pool.lacksGrant() {
		return awaitRoom, nil // what there is to claim is looked up when there is room
	}
	if c.most > 0 {
		total = min(total, c.most)
	}
	var done admitted
	passedOver, first := c.passedOver, false
	c.passedOver = false
	if !passedOver {
		if err := c.lookBack(ctx); err != nil {
			return 0, err
		}
		if first = c.arrivalsComeFirst(); first {
			var err error
			if done, err = c.admit(ctx, wants, total, 0); err != nil {
				return 0, err
			}
			c.hear() // which of them are ready now
		}
	}
	claimed, asked, err := c.claimReady(ctx, s, wants, total)
	if err != nil {
		return 0, err
	}
	full := claimed > 0 && claimed == total
	ready, _ := c.lanes.anyReady(c.rates)
	if !passedOver && !first && (ready || !full) {
		if done, err = c.admit(ctx, wants, total, claimed); err != nil {
			return 0, err
		}
	}
	c.urgent.Store(c.lanes.urgent())
	switch {
	case ready && !asked && !done.more:
		return awaitRoom, nil
	case ready || done.more:
		if claimed+done.won > 0 {
			c.leftSome(ctx)
		}
		return claimAgain, nil
	case done.won > 0 || (full || passedOver) && c.arrivals.any():
		return claimAgain, nil
	}
	return c.idle(ctx), nil
}

// claimReady claims from the lanes that may have tasks. It returns how many tasks
// it has claimed, and whether there was a lane to ask, and room for its tasks.
func (c *claimer) claimReady(ctx context.Context, s *session, wants map[string]room, total int) (n int, asked bool, err error) {
	c.w.control.saw(c.lanes)
	ready := c.lanes.ready(func(l lane) bool { return c.open(l, wants[l.Queue]) })
	tokens, err := c.rates.take(ctx, c.rates.asks(ready, wants))
	if err != nil {
		return 0, false, err
	}
	shares := c.rates.share(ready, wants, tokens)
	if c.backlog {
		ready, shares = divide(ready, shares, total)
	}
	req, served := c.lanes.request(ready, shares, total)
	if len(served) == 0 {
		c.giveBackTokens(ctx, tokens)
		return 0, false, nil
	}
	req.Worker, req.Claim = s.id, s.claims.Add(1)
	began := time.Now()
	claimed, now, err := c.w.client.store.Claim(ctx, req)
	if err != nil {
		c.disownLater(s, req.Claim)
		if store.TookTooLong(err) {
			c.most = max(req.Limit/2, 1)
		}
		return 0, true, err
	}
	if c.most *= 2; c.most > maxClaim {
		c.most = 0
	}
	c.received(began, claimed)
	for _, j := range c.w.accept(s, req.Claim, claimed, now) {
		for _, key := range c.rates.buckets(lane(*j.LaneKey)) {
			tokens[key]--
		}
	}
	c.backlog = len(claimed) == req.Limit
	exhausted := c.lanes.advance(req, served, claimed, now)
	c.giveBackTokens(ctx, tokens)
	if len(served) < len(ready) {
		c.passedOver = slices.ContainsFunc(exhausted, func(l lane) bool { return len(c.rates.buckets(l)) > 0 })
	}
	return len(claimed), true, nil
}

// received records a claim that has been made.
func (c *claimer) received(began time.Time, claimed []*store.Claimed) {
	took := time.Since(began)
	c.w.pool.claimTook(took)
	c.w.client.metrics.Claimed(len(claimed), took)
	c.w.client.tracing.Receive(began, len(claimed), func(i int) telemetry.Received {
		t := claimed[i]
		return telemetry.Received{Queue: t.Queue, Created: telemetry.Carrier{Parent: t.TraceParent, State: t.TraceState}}
	})
}

// leftSome counts a turn that left tasks behind.
func (c *claimer) leftSome(ctx context.Context) {
	if c.full++; c.full == busyClaims {
		c.w.lease.setIdle(ctx, false)
	}
}

// open tells whether a task of a lane could be claimed.
func (c *claimer) open(l lane, has room) bool {
	if len(c.rates.buckets(l)) > 0 {
		return has.paced > 0 && c.rates.wait(l) <= 0
	}
	return has.any > 0
}

// giveBackTokens gives back what was taken for tasks that were not there.
func (c *claimer) giveBackTokens(ctx context.Context, unused map[string]int) {
	if err := c.rates.giveBack(ctx, unused); err != nil {
		c.w.logger.Debug("tokens of rate limits not given back; their tasks will start later", "error", err)
	}
}

// hear notes which lanes are said to have new tasks. It does so without room
// for them too, so that tasks which are handed over let more urgent ones go first.
func (c *claimer) hear() {
	hinted := c.hints()
	if hinted == nil {
		return
	}
	for l := range hinted {
		if l.Sublane == arrivingSublane {
			c.arrivals.hint(l.Queue)
		} else {
			c.lanes.hint(l)
		}
	}
	c.urgent.Store(c.lanes.urgent())
}

// hints takes the lanes that are said to have new tasks, nil for none.
func (c *claimer) hints() (hinted map[lane]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hinted) > 0 {
		hinted, c.hinted = c.hinted, map[lane]bool{}
	}
	return hinted
}

// lookBack finds out which lanes may have tasks, and where there are arrivals.
func (c *claimer) lookBack(ctx context.Context) error {
	soon := c.retryIsDue() || c.idleSinceAMoment()
	if c.again.Swap(false) {
		c.lanes.again()
		c.arrivals.again()
	}
	if err := c.lanes.find(ctx, soon); err != nil {
		return err
	}
	err := c.arrivals.find(ctx, soon)
	c.urgent.Store(c.lanes.urgent())
	return err
}

// arrivalsComeFirst tells whether there may be arrivals that are more urgent than
// tasks which are ready, so that they should be ready before those are claimed.
func (c *claimer) arrivalsComeFirst() bool {
	if !c.arrivals.any() {
		return false
	}
	lowest, ready, _ := c.lanes.leastUrgent(c.rates)
	if !ready {
		return false
	}
	highest := c.lanes.highest()
	for at, cur := range c.arrivals.places {
		if cur.ready && highest[at.queue] > lowest {
			return true
		}
	}
	return false
}

// admit gives arrivals their turns and slots, where the worker has room for total
// tasks and has claimed some of them in this turn.
func (c *claimer) admit(ctx context.Context, wants map[string]room, total, claimed int) (admitted, error) {
	ready, paced := c.lanes.anyReady(c.rates)
	return c.arrivals.admit(ctx, demand{
		room:     func(queue string) int { return min(wants[queue].any, total) - claimed },
		hasReady: func(queue string) bool { return c.lanes.hasReady(queue, c.rates) },
		filled:   c.w.finisher.turns.Len() >= total,
		idle:     !ready && paced == 0,
	})
}

// disownLater notes a claim of the claimer's whose answer did not come.
func (c *claimer) disownLater(s *session, claim int64) {
	c.uncertain = append(c.uncertain, uncertainClaim{session: s, claim: claim, pause: lookBackInterval})
}

// uncertainAbout tells of a claim that somebody else made, whose answer did
// not come.
func (c *claimer) uncertainAbout(s *session, claim int64) {
	c.mu.Lock()
	c.unsure = append(c.unsure, uncertainClaim{session: s, claim: claim, pause: lookBackInterval})
	c.mu.Unlock()
	signal(c.woken)
}

// uncertainClaim is a claim whose answer did not come: it may have happened,
// or still happen, when the network delivers it after all.
type uncertainClaim struct {
	session *session
	claim   int64
	due     time.Time     // of giving it back (again); zero is now
	pause   time.Duration // until the next time
}

// forgetClaim is the pause after which an uncertain claim is not looked for any
// more: no network keeps a statement that long.
const forgetClaim = time.Hour

// disownTimeout bounds the look for uncertain claims, which reads all tasks,
// however many there are.
const disownTimeout = time.Minute

// disownFor gives back what uncertain claims have taken. Until it has, nothing
// more is claimed. It looks again after growing pauses, because a claim may
// land later than that. What a lost session has taken is the leader's to
// recover.
func (c *claimer) disownFor(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	c.mu.Lock()
	c.uncertain, c.unsure = append(c.uncertain, c.unsure...), nil
	c.mu.Unlock()
	for i := range c.uncertain {
		u := &c.uncertain[i]
		if u.session.lost() || time.Now().Before(u.due) {
			continue
		}
		if _, err := c.w.client.store.Disown(ctx, u.session.id, u.claim); err != nil {
			return err
		}
		u.due = time.Now().Add(u.pause)
		u.pause *= 4
	}
	c.uncertain = slices.DeleteFunc(c.uncertain, func(u uncertainClaim) bool {
		return u.session.lost() || u.pause > forgetClaim
	})
	return nil
}

// retryIsDue tells whether a retry of this worker is, and forgets it.
func (c *claimer) retryIsDue() (due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Now()
	c.dues = slices.DeleteFunc(c.dues, func(t time.Time) bool {
		due = due || !t.After(at)
		return !t.After(at)
	})
	return due
}

// jobSlab is how many jobs share an allocation: few enough that one which runs
// for hours does not keep the memory of a whole claim, and as many as fill a size
// class of Go's allocator.
const jobSlab = 16 << 10 / int(unsafe.Sizeof(job{}))

// accept turns rows into jobs, and returns those that are to start.
func (w *Worker) accept(s *session, number int64, claimed []*store.Claimed, now time.Time) (starts []*job) {
	known := w.routes.contracts.Load()
	jobs := make([]*job, 0, len(claimed))
	starts = make([]*job, 0, len(claimed))
	common := &claim{w: w, session: s, number: number, claimed: time.Now()}
	var slab []job
	var before *job
	for i, t := range claimed {
		if len(slab) == 0 {
			slab = make([]job, min(jobSlab, len(claimed)-i))
		}
		j := &slab[0]
		slab = slab[1:]
		j.Claimed, j.claim = t, common
		j.route, j.waited = known.byID[t.Contract], now.Sub(t.RunAt.Time())
		j.attempt.of(j)
		if j.route == nil {
			j.route = w.routes.shun(t.Contract)
			w.finisher.giveBack(j)
			continue
		}
		if j.Sublane == "" && j.sublane() != "" {
			w.finisher.giveBack(j) // to its own lane: who enqueued it knew of no rate limit
			continue
		}
		if before != nil && j.route == before.route && j.Queue == before.Queue {
			j.metrics = before.metrics // claims are mostly of one kind
		} else {
			j.metrics = w.client.metrics.Task(j.route.definition.Name, j.Queue)
		}
		before = j
		jobs = append(jobs, j)
		if !j.expired() {
			starts = append(starts, j)
		}
	}
	for _, j := range w.pool.add(jobs) {
		w.finisher.giveBack(j)
	}
	return starts
}

func (c *claimer) release(jobs []*job) {
	for _, j := range jobs {
		c.w.finisher.giveBack(j)
	}
}

// idle asks to be notified. Whoever enqueued before the flag was there has not
// notified, so the lanes are looked at once more, soon.
func (c *claimer) idle(ctx context.Context) next {
	if c.arrivals.putOff {
		return claimAgain // nothing is ready any more
	}
	c.full = 0
	if !c.w.lease.idle.Load() {
		c.w.lease.setIdle(ctx, true)
		c.pause, c.idleFrom = firstPause, time.Now()
	}
	return awaitTasks
}

// idleSinceAMoment tells whether clients may not have seen yet that this worker
// is idle: see longestSilence.
func (c *claimer) idleSinceAMoment() bool {
	return time.Since(c.idleFrom) <= longestSilence
}

// wait is how long to wait for a signal before the next turn.
func (c *claimer) wait(then next) time.Duration {
	if then == awaitDatabase {
		return failurePause
	}
	wait := lookBackInterval
	if then == awaitTasks {
		wait = min(c.pause, c.w.config.ClaimInterval)
	}
	if _, refill := c.lanes.anyReady(c.rates); refill > 0 {
		wait = min(wait, refill)
	}
	if then == awaitRoom {
		return wait
	}
	c.pause = min(2*c.pause, c.w.config.ClaimInterval)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, due := range append(c.dues, c.lanes.next, c.arrivals.next) {
		if !due.IsZero() {
			wait = min(wait, max(time.Until(due), 0)+time.Millisecond)
		}
	}
	return wait
}
