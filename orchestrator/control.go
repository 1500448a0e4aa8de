package orchestrator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// control brings to a worker what people change at run time: what is paused,
// limits of queues, overridden policies, and which of its tasks are to be
// cancelled. It asks when it is notified and by polling, with one statement.
type control struct {
	w     *Worker
	woken chan struct{} // has one place: notifications that arrive together are one
	// current is what was read last. Claims, starts and judgements of attempts
	// go by it.
	current atomic.Pointer[settings]
	// ready are the queues with a total in which the claimer saw tasks that
	// the worker could run.
	ready atomic.Pointer[map[string]bool]
	// lacked is when the claimer last saw that more could be run; it belongs to
	// its goroutine.
	lacked time.Time
	// granted are the queues of which the worker holds a share.
	granted map[string]bool
}

// settings are what people have changed, by name. Names of which nothing is
// changed are not there.
type settings struct {
	queues map[string]store.QueueSettings
	types  map[string]typeSettings
}

type typeSettings struct {
	paused bool
	policy *Policy   // nil: none
	until  time.Time // when policy expires, by this process's clock
}

const (
	// controlInterval is how often a worker asks at least. It is what a change
	// takes to arrive where notifications do not.
	controlInterval = 500 * time.Millisecond
	controlTimeout  = 10 * time.Second
)

func newControl(w *Worker) *control {
	c := &control{w: w, woken: make(chan struct{}, 1), granted: map[string]bool{}}
	c.current.Store(&settings{})
	c.ready.Store(&map[string]bool{})
	return c
}

// wake says that something has changed.
func (c *control) wake() { signal(c.woken) }

// run asks until ctx ends, which is when nothing runs any more: tasks can be
// cancelled while a worker drains, too.
func (c *control) run(ctx context.Context) {
	interval := min(c.w.config.ClaimInterval, controlInterval)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.woken:
		}
		if err := c.turn(ctx); err != nil && ctx.Err() == nil {
			c.w.logger.Warn("settings and cancel requests not read; trying again", "error", err)
		}
		c.w.watch()
		timer.Reset(interval)
	}
}

// turn reads what has changed and sees that it has its effect.
func (c *control) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	s := c.w.lease.current.Load()
	asked := c.w.pool.withTotals()
	read, err := c.w.client.store.Control(ctx, s.id, asked)
	if err != nil {
		return err
	}
	c.apply(read)
	c.w.cancelRequested(s, read.Requests)
	if !read.Led || read.Settled && c.w.leading.Load() != nil {
		signal(c.w.leaderWanted)
	}
	return c.share(ctx, s, asked, read.Shares)
}

// load reads the settings before there is a lease, so that nothing is claimed
// that is paused.
func (c *control) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	read, err := c.w.client.store.Control(ctx, 0, []string{})
	if err == nil {
		c.apply(read)
	}
	return err
}

// apply makes what was read the worker's settings.
func (c *control) apply(read store.Control) {
	before, now := c.current.Load(), c.settingsOf(read)
	c.current.Store(now)
	c.w.routes.pauseTypes(now.pausedTypes())
	for _, j := range c.w.pool.tune(now) {
		c.w.finisher.giveBack(j)
	}
	if resumed(before, now) {
		c.w.claimer.lookAgain()
	}
}

func (c *control) settingsOf(read store.Control) *settings {
	s := &settings{queues: make(map[string]store.QueueSettings, len(read.Queues)), types: make(map[string]typeSettings, len(read.Types))}
	for _, q := range read.Queues {
		s.queues[q.Name] = q
	}
	at := time.Now()
	for _, one := range read.Types {
		t := typeSettings{paused: one.Paused, until: at.Add(one.PolicyExpiresAt.Sub(read.Now))}
		var err error
		if t.policy, err = policyOf(one.Policy); err != nil {
			c.w.logger.Warn("policy set at run time cannot be read; the declared one holds", "type", one.Name, "error", err)
		}
		s.types[one.Name] = t
	}
	return s
}

func (s *settings) pausedTypes() map[string]bool {
	paused := map[string]bool{}
	for name, t := range s.types {
		if t.paused {
			paused[name] = true
		}
	}
	return paused
}

// resumed tells whether something that was paused is not any more.
func resumed(before, now *settings) bool {
	for name, q := range before.queues {
		if q.Paused && !now.queues[name].Paused {
			return true
		}
	}
	for name, t := range before.types {
		if t.paused && !now.types[name].paused {
			return true
		}
	}
	return false
}

// open are the queues that are not paused.
func (c *control) open(queues []string) []string {
	current := c.current.Load()
	open := make([]string, 0, len(queues))
	for _, name := range queues {
		if !current.queues[name].Paused {
			open = append(open, name)
		}
	}
	return open
}
