package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// The total of a queue is shared out among its workers in grants, which are
// stored: their sum is never above the total, so nobody has to count what
// runs. A worker changes its own grant alone, and with the queue locked: it
// takes no more than the others leave, and keeps what it needs for what it
// runs. A grant changes only when somebody could run more than is granted to
// it and says so. Then all work out the same fair shares from the same rows,
// and give up what is above theirs as tasks end.

// use is what a worker does with a queue that has a total.
type use struct {
	total     int
	perWorker int
	capacity  int // what it could run at most
	running   int
	wanted    int // what it could run now
	granted   int // what the pool goes by
	taking    bool
}

// share brings the worker's grants nearer to its fair shares.
func (c *control) share(ctx context.Context, s *session, asked []string, shares []store.Share) error {
	var errs []error
	known := make(map[string][]store.Share, len(asked))
	for _, queue := range asked {
		known[queue] = nil
	}
	for _, one := range shares {
		known[one.Queue] = append(known[one.Queue], one)
	}
	totals := map[string]bool{}
	for _, queue := range c.w.pool.withTotals() {
		totals[queue] = true
		of, wasAsked := known[queue]
		if !wasAsked { // the total is new
			c.wake()
			continue
		}
		if c.w.lease.holds(s) && c.useOf(queue).unfair(s.id, of) {
			errs = append(errs, c.regrant(ctx, s, queue))
		}
	}
	for queue := range c.granted {
		if totals[queue] {
			continue
		}
		err := c.w.client.store.DropGrant(ctx, queue, s.id) // it has no total any more
		if err == nil {
			delete(c.granted, queue)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// useOf is what the worker does with a queue now.
func (c *control) useOf(queue string) use {
	u := c.w.pool.useOf(queue)
	if (*c.ready.Load())[queue] {
		u.wanted = u.capacity
	}
	u.taking = !c.w.lease.draining.Load()
	return u
}

// unfair tells whether the worker should change what is stored for it.
func (u use) unfair(me int64, shares []store.Share) bool {
	mine, sum, othersLack := store.Share{}, 0, false
	for _, one := range shares {
		sum += one.Granted
		if one.Worker == me {
			mine = one
		} else {
			othersLack = othersLack || one.Taking && one.Wanted > one.Granted
		}
	}
	allowed := u.allowed(me, shares)
	switch {
	case mine.Granted > max(u.granted, u.running): // it does not need what it has held for tasks that ran
		return true
	case u.wanted > mine.Granted && (u.wanted > mine.Wanted || allowed > mine.Granted):
		return true
	case othersLack || sum > u.total:
		return allowed < u.granted || u.wanted < mine.Wanted
	}
	return false
}

// allowed is the worker's fair share, as far as the others leave it.
func (u use) allowed(me int64, shares []store.Share) int {
	others := 0
	for _, one := range shares {
		if one.Worker != me {
			others += one.Granted
		}
	}
	return max(0, min(u.fair(me, shares), u.total-others))
}

// fair is the worker's share when all work it out: what each could run now, as
// evenly as can be, and what is left by what each could run at most. Shares
// come in an order that is the same for all.
func (u use) fair(me int64, shares []store.Share) int {
	wants, most := make([]int, len(shares)), make([]int, len(shares))
	at := -1
	for i, one := range shares {
		if one.Worker == me {
			at = i
			if u.taking {
				wants[i], most[i] = u.wanted, u.capacity
			}
		} else if one.Taking {
			most[i] = min(one.Slots, u.perWorker)
			wants[i] = min(one.Wanted, most[i])
		}
	}
	if at < 0 {
		return 0 // not registered, any more or yet
	}
	given := make([]int, len(shares))
	left := pour(u.total, wants, given)
	pour(left, most, given)
	return given[at]
}

// pour raises what is given evenly, up to a limit each, and returns what is
// left. Those who come first get what cannot be divided.
func pour(total int, limits, given []int) (left int) {
	for total > 0 {
		thirsty := 0
		for i := range given {
			if given[i] < limits[i] {
				thirsty++
			}
		}
		if thirsty == 0 {
			break
		}
		each := max(1, total/thirsty)
		for i := range given {
			if n := min(each, limits[i]-given[i], total); n > 0 {
				given[i] += n
				total -= n
			}
		}
	}
	return total
}

// regrant changes what is stored for the worker, and what its pool goes by.
// When that becomes less, the pool knows before the others do.
func (c *control) regrant(ctx context.Context, s *session, queue string) error {
	var allowed, before, after, wanted int
	done, err := c.w.client.store.Regrant(ctx, queue, s.id, func(total int, shares []store.Share) (int, int) {
		u := c.useOf(queue)
		if total > 0 {
			u.total = total
		}
		for _, one := range shares {
			if one.Worker == s.id {
				before = one.Granted
			}
		}
		allowed, wanted = u.allowed(s.id, shares), u.wanted
		after = max(allowed, c.w.pool.lower(queue, allowed))
		return after, wanted
	})
	if err != nil || !done {
		return err
	}
	c.granted[queue] = true
	c.w.pool.grant(s, queue, allowed)
	if after < before || wanted > after {
		c.w.client.wakeups.changed() // others wait for it, or are to give
	}
	return nil
}

// saw takes note of the lanes in which there are tasks, and sees that a worker
// which could run more than is granted to it says so soon. The claimer calls it.
func (c *control) saw(lanes *lanes) {
	totals := c.w.pool.withTotals()
	if len(totals) == 0 {
		return
	}
	ready := map[string]bool{}
	for l, cur := range lanes.cursors {
		ready[l.Queue] = ready[l.Queue] || cur.ready
	}
	c.ready.Store(&ready)
	if at := time.Now(); c.w.pool.lacksGrant() && at.Sub(c.lacked) >= lookBackInterval {
		c.lacked = at
		for _, queue := range totals {
			if ready[queue] {
				c.wake()
			}
		}
	}
}

// withTotals are the queues of the pool that are limited over all workers.
func (p *pool) withTotals() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := []string{}
	for name, q := range p.queues {
		if q.total > 0 {
			names = append(names, name)
		}
	}
	return names
}

func (p *pool) useOf(queue string) use {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[queue]
	u := use{total: q.total, perWorker: q.perWorker, capacity: min(q.perWorker, p.size), running: q.running, granted: q.granted}
	u.wanted = min(q.running+len(q.buffer), u.capacity)
	return u
}

// lower makes what is granted of a queue no more than n, and returns how many
// tasks of it run: that number only falls until more is granted.
func (p *pool) lower(queue string, n int) (running int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[queue]
	q.granted = min(q.granted, n)
	return q.running
}

// grant lets n tasks of a queue run, under the session to which they were
// granted.
func (p *pool) grant(s *session, queue string, n int) {
	p.mu.Lock()
	if !s.lost() {
		p.queues[queue].granted = n
	}
	p.mu.Unlock()
	p.startMore()
}

// lacksGrant tells whether a free slot could be used if more were granted.
func (p *pool) lacksGrant() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.active)+p.buffered >= p.size {
		return false
	}
	for name, q := range p.queues {
		if n := q.running + len(q.buffer); q.total > 0 && n >= q.granted && n < q.perWorker && !p.settings.queues[name].Paused {
			return true
		}
	}
	return false
}
