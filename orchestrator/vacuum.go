package orchestrator

import (
	"context"
	"sync"
	"time"
)

// vacuumer vacuums the queue's table at the leader's turns, beside what else the
// leader does. Autovacuum looks once a minute, in which a busy queue leaves
// millions of dead rows: there would have to be room for all of them, on the
// disk and in memory.
type vacuumer struct {
	w       *Worker
	running sync.WaitGroup

	mu   sync.Mutex // held by the one that runs
	left int64      // dead rows that the last one could not remove: some transaction may still see them
}

const (
	// vacuumThreshold is from how many dead rows on there is something to do.
	vacuumThreshold = 50_000
	// vacuumTimeout bounds one: no answer may also mean that the connection is
	// dead without a word.
	vacuumTimeout = 10 * time.Minute
)

// start begins to vacuum, if there is much to remove and nobody is at it.
func (v *vacuumer) start(ctx context.Context) {
	if !v.mu.TryLock() {
		return
	}
	v.running.Go(func() {
		defer v.mu.Unlock()
		v.run(ctx)
	})
}

// run vacuums if most of what is dead has come since the last time: while a long
// transaction holds all of it back, reading it over and over removes nothing.
func (v *vacuumer) run(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, vacuumTimeout)
	defer cancel()
	did, left, err := v.w.client.store.Vacuum(bounded, max(vacuumThreshold, 2*v.left))
	if err != nil {
		v.w.failedDuty(ctx, err)
		return
	}
	if did || left < v.left {
		v.left = left
	}
}

// wait waits for one that runs; its context has ended.
func (v *vacuumer) wait() { v.running.Wait() }
