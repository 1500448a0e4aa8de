package groupcommit

import "sync"

// maxPending bounds what may wait for the flush that is under way. Beyond it
// Add blocks, so producers that outrun the database slow down instead of
// filling memory.
const maxPending = 20_000

// Group is a queue of items with one flush at a time.
type Group[T any] struct {
	flush func([]T)

	mu       sync.Mutex
	changed  sync.Cond // pending was taken, or the flusher ended
	pending  []T
	spare    []T // the slice of the flush before, to use again
	flushing bool
}

// New returns a Group that hands batches to flush, one call at a time, in the
// order of Add. flush owns the batch until it returns.
func New[T any](flush func([]T)) *Group[T] {
	g := &Group[T]{flush: flush}
	g.changed.L = &g.mu
	return g
}

// Add puts items into the next batch. It returns before they are flushed.
func (g *Group[T]) Add(items ...T) {
	g.mu.Lock()
	for len(g.pending) > maxPending {
		g.changed.Wait()
	}
	g.pending = append(g.pending, items...)
	if !g.flushing {
		g.flushing = true
		go g.run()
	}
	g.mu.Unlock()
}

// Wait returns when everything added before has been flushed.
func (g *Group[T]) Wait() {
	g.mu.Lock()
	for g.flushing {
		g.changed.Wait()
	}
	g.mu.Unlock()
}

func (g *Group[T]) run() {
	g.mu.Lock()
	for len(g.pending) > 0 {
		batch := g.pending
		g.pending = g.spare[:0]
		g.changed.Broadcast()
		g.mu.Unlock()

		g.flush(batch)
		clear(batch) // let go of what the items point to

		g.mu.Lock()
		g.spare = batch
	}
	g.flushing = false
	g.changed.Broadcast()
	g.mu.Unlock()
}
