package orchestrator

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// claimer decides when to claim, and from which lanes.
//
// It walks each lane from a cursor, so that rows which were claimed a moment
// ago, and which a long transaction somewhere keeps PostgreSQL from cleaning
// up, are not walked over again. Rows can appear behind a cursor, because
// transactions commit in another order than they begin. So the claimer also
// looks back: often a little, seldom far, and at the first turn at everything.
type claimer struct {
	w *Worker
	// woken has one place: wakeups that arrive together are one.
	woken chan struct{}

	mu   sync.Mutex
	hot  map[lane]bool // lanes said to have new tasks since the last turn
	dues []time.Time   // when retries of this worker are due, by its own clock

	// The rest belongs to the goroutine of run.
	lanes     map[lane]*cursor
	turn      int // rotates queues of equal priority
	full      int // claims in a row that returned all they asked for
	now       time.Time
	nowAt     time.Time // when now was the database's time
	probed    time.Time // database time of the last look back
	lookedAt  [lookBackLevels]time.Time
	nextDue   time.Duration // until the next scheduled task, as of the last look back
	nextAt    time.Time
	pause     time.Duration // of polling
	uncertain []uncertainClaim
}

// cursor is how far a lane has been walked.
type cursor struct {
	store.Cursor
	ready bool // there may be tasks ahead
}

// Look-back level k is due every 100ms·4ᵏ and goes back 200ms·4ᵏ; the last one
// goes back to the beginning. A task whose enqueuing transaction took t is
// found within about 2t of its commit.
const (
	lookBackLevels   = 10
	lookBackInterval = 100 * time.Millisecond
	lookBackReach    = 200 * time.Millisecond
)

// An idle claimer polls soon at first, because a notification that was sent
// just before it became idle may have missed it.
const (
	firstPause   = 5 * time.Millisecond
	failurePause = 200 * time.Millisecond // after a failed statement
)

// busyClaims is how many full claims in a row show that a worker has enough to
// do without being notified.
const busyClaims = 8

func newClaimer(w *Worker) *claimer {
	return &claimer{w: w, woken: make(chan struct{}, 1), hot: map[lane]bool{}, lanes: map[lane]*cursor{}, pause: firstPause}
}

// wake says that a lane has new tasks.
func (c *claimer) wake(l lane) {
	c.mu.Lock()
	c.hot[l] = true
	c.mu.Unlock()
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
	if err := c.disown(ctx); err != nil {
		c.w.logger.Warn("a claim whose answer was lost is left to recovery", "error", err)
	}
}

// claimTimeout bounds one statement of the claimer. It does not end with the
// worker's context: a claim that is broken off may have happened or not.
const claimTimeout = 10 * time.Second

// claim is one turn: it looks back when that is due, claims from the lanes
// that may have tasks, and hands them to the pool.
func (c *claimer) claim(ctx context.Context) (next, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	c.release(c.w.pool.stale(c.w.config.ClaimInterval))
	if err := c.disown(ctx); err != nil {
		return 0, err
	}
	s := c.w.lease.current.Load()
	if !c.w.lease.holds(s) {
		return awaitTasks, nil // a new session is on its way
	}
	wants, total := c.w.pool.wants()
	if len(wants) == 0 {
		return awaitRoom, nil // what there is to claim is looked up when there is room
	}
	c.heat()
	if err := c.lookBack(ctx); err != nil {
		return 0, err
	}
	req, lanes := c.request(wants, total)
	if len(lanes) == 0 {
		if c.anyReady() {
			return awaitRoom, nil
		}
		return c.idle(ctx), nil
	}
	req.Worker, req.Claim = s.id, s.claims.Add(1)
	began := time.Now()
	claimed, now, err := c.w.client.store.Claim(ctx, req)
	if err != nil {
		c.uncertain = append(c.uncertain, uncertainClaim{s, req.Claim})
		return 0, err
	}
	took := time.Since(began)
	c.w.pool.claimTook(took)
	c.w.client.metrics.Claimed(len(claimed), took)
	c.now, c.nowAt = now, time.Now()
	c.accept(s, req.Claim, claimed)
	c.advance(req, lanes, claimed, now)
	if !c.anyReady() {
		return c.idle(ctx), nil
	}
	if c.full++; c.full == busyClaims {
		c.w.lease.setIdle(ctx, false)
	}
	return claimAgain, nil
}

// uncertainClaim is a claim whose answer did not come: it may have happened.
type uncertainClaim struct {
	session *session
	claim   int64
}

// disown gives back what uncertain claims have taken. Until it has, nothing
// more is claimed. What a lost session has taken is the leader's to recover.
func (c *claimer) disown(ctx context.Context) error {
	for len(c.uncertain) > 0 {
		u := c.uncertain[0]
		if !u.session.lost() {
			if _, err := c.w.client.store.Disown(ctx, u.session.id, u.claim); err != nil {
				return err
			}
		}
		c.uncertain = c.uncertain[1:]
	}
	return nil
}

// request asks for what there is room for, most urgent lanes first. Queues of
// the same priority take turns at being served first.
func (c *claimer) request(wants map[string]int, total int) (store.ClaimRequest, []lane) {
	known := c.w.routes.contracts.Load()
	req := store.ClaimRequest{Limit: total, Known: known.newest, Foreign: known.foreign}
	lanes := make([]lane, 0, len(c.lanes))
	for l, cur := range c.lanes {
		if cur.ready && wants[l.queue] > 0 {
			lanes = append(lanes, l)
		}
	}
	slices.SortFunc(lanes, func(a, b lane) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.queue, b.queue))
	})
	c.turn++
	for from := 0; from < len(lanes); {
		to := from + 1
		for to < len(lanes) && lanes[to].priority == lanes[from].priority {
			to++
		}
		rotate(lanes[from:to], c.turn)
		from = to
	}
	for _, l := range lanes {
		req.Lanes = append(req.Lanes, store.Lane{
			Queue: l.queue, Priority: l.priority, Cursor: c.lanes[l].Cursor, Want: int32(wants[l.queue]),
		})
	}
	return req, lanes
}

func rotate(lanes []lane, by int) {
	if by %= len(lanes); by > 0 {
		copy(lanes, append(slices.Clone(lanes[by:]), lanes[:by]...))
	}
}

// advance moves the cursors. A lane that gave less than it was asked for is
// exhausted up to now; one that gave all stands at the last task it gave; one
// that the claim did not come to stays.
func (c *claimer) advance(req store.ClaimRequest, lanes []lane, claimed []store.Claimed, now time.Time) {
	got := make([]int, len(lanes))
	last := -1
	for i := range claimed {
		t := &claimed[i]
		got[t.Lane]++
		last = max(last, t.Lane)
		cur := c.lanes[lanes[t.Lane]]
		cur.Cursor = store.Cursor{RunAt: t.RunAt, ID: t.ID}
	}
	if len(claimed) < req.Limit {
		last = len(lanes) // every lane was walked
	}
	for i, l := range lanes {
		if i < last && got[i] < int(req.Lanes[i].Want) {
			*c.lanes[l] = cursor{Cursor: store.Cursor{RunAt: now, ID: math.MaxInt64}}
		}
	}
}

// accept turns rows into jobs.
func (c *claimer) accept(s *session, claim int64, claimed []store.Claimed) {
	known := c.w.routes.contracts.Load()
	jobs := make([]*job, len(claimed))
	all := make([]job, len(claimed))
	at := time.Now()
	for i := range claimed {
		all[i] = job{
			Claimed: claimed[i], fence: store.Fence{ID: claimed[i].ID, Worker: s.id, Claim: claim},
			session: s, route: known.byID[claimed[i].Contract], claimed: at, waited: c.now.Sub(claimed[i].RunAt),
		}
		jobs[i] = &all[i]
	}
	c.release(c.w.pool.add(jobs))
}

func (c *claimer) release(jobs []*job) {
	for _, j := range jobs {
		c.w.finisher.giveBack(j)
	}
}

// heat marks the lanes that were said to have new tasks. Those may lie a
// little behind the cursor: their run_at is when their transaction began.
func (c *claimer) heat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.hot {
		c.look(l, store.Cursor{RunAt: c.databaseNow().Add(-lookBackReach)})
		delete(c.hot, l)
	}
}

// look marks a lane as having tasks from a place on.
func (c *claimer) look(l lane, from store.Cursor) {
	cur, known := c.lanes[l]
	switch {
	case !known:
		c.lanes[l] = &cursor{Cursor: from, ready: true}
	case cur.RunAt.After(from.RunAt):
		*cur = cursor{Cursor: from, ready: true}
	default:
		cur.ready = true
	}
}

// databaseNow estimates the database's time from the last statement's. It is
// only used with a margin, and for nothing that is stored.
func (c *claimer) databaseNow() time.Time { return c.now.Add(time.Since(c.nowAt)) }

// lookBack finds the lanes that have tasks, as far back as is due.
func (c *claimer) lookBack(ctx context.Context) error {
	at := time.Now()
	level := -1
	for k, interval := 0, lookBackInterval; k < lookBackLevels; k, interval = k+1, 4*interval {
		if at.Sub(c.lookedAt[k]) >= interval {
			level = k
		}
	}
	if level < 0 && c.dueAhead(at) {
		level = 0
	}
	if level < 0 {
		return nil
	}
	var since time.Time // the beginning
	if level < lookBackLevels-1 {
		since = c.databaseNow().Add(-lookBackReach << (2 * level))
		if before := c.probed.Add(-lookBackReach); before.Before(since) {
			since = before // it is a while since the last look
		}
	}
	known := c.w.routes.contracts.Load()
	heads, now, err := c.w.client.store.Lanes(ctx, c.w.routes.names, since, store.ClaimRequest{Known: known.newest, Foreign: known.foreign})
	if err != nil {
		return err
	}
	for k := 0; k <= level; k++ {
		c.lookedAt[k] = at
	}
	c.now, c.nowAt, c.probed = now, time.Now(), now
	c.nextDue, c.nextAt = 0, c.nowAt
	for _, head := range heads {
		if head.DueIn > 0 {
			if c.nextDue == 0 || head.DueIn < c.nextDue {
				c.nextDue = head.DueIn
			}
			continue
		}
		c.look(lane{head.Queue, head.Priority}, store.Cursor{RunAt: head.First.RunAt, ID: head.First.ID - 1})
	}
	return nil
}

// dueAhead tells whether a task that was to become ready is so by now.
func (c *claimer) dueAhead(at time.Time) bool {
	due := c.nextDue > 0 && at.Sub(c.nextAt) >= c.nextDue
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dues = slices.DeleteFunc(c.dues, func(t time.Time) bool {
		if t.After(at) {
			return false
		}
		due = true
		return true
	})
	return due
}

func (c *claimer) anyReady() bool {
	for _, cur := range c.lanes {
		if cur.ready {
			return true
		}
	}
	return false
}

// idle asks to be notified. Whoever enqueued before the flag was there has not
// notified, so the lanes are looked at once more, soon.
func (c *claimer) idle(ctx context.Context) next {
	c.full = 0
	if !c.w.lease.idle.Load() {
		c.w.lease.setIdle(ctx, true)
		c.pause = firstPause
	}
	return awaitTasks
}

// wait is how long to wait for a signal before the next turn.
func (c *claimer) wait(then next) time.Duration {
	switch then {
	case awaitDatabase:
		return failurePause
	case awaitRoom:
		return lookBackInterval
	}
	wait := min(c.pause, c.w.config.ClaimInterval)
	c.pause = min(2*c.pause, c.w.config.ClaimInterval)
	if c.nextDue > 0 {
		wait = min(wait, max(c.nextDue-time.Since(c.nextAt), 0)+time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, due := range c.dues {
		wait = min(wait, max(time.Until(due), 0)+time.Millisecond)
	}
	return wait
}
