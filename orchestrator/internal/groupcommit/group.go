package groupcommit

import (
	"runtime"
	"sync"
)

// maxPending bounds what may wait for the flush that is under way. Beyond it
// Add blocks, so producers that outrun the database slow down instead of
// filling memory.
const maxPending = 20_000

// Group is a queue of items with one flush at a time, or a few.
type Group[T any] struct {
	flush func([]T)
	most  int  // flushes at a time
	even  bool // they are to be of the same size

	mu       sync.Mutex
	changed  sync.Cond // pending was taken, or a flusher ended
	pending  []T
	spare    []T // the slice of a flush before, to use again
	flushing int // flushers that run
	underWay int // items that they flush
	asked    int // calls of Alone
}

// New returns a Group that hands batches to flush, one call at a time, in the
// order of Add. flush owns the batch until it returns.
func New[T any](flush func([]T)) *Group[T] { return NewParallel(1, flush) }

// NewParallel is [New] with up to most calls of flush at a time. It is for items
// whose order does not matter, and a flush that mostly waits.
func NewParallel[T any](most int, flush func([]T)) *Group[T] {
	g := &Group[T]{flush: flush, most: most}
	g.changed.L = &g.mu
	return g
}

// NewPair is [NewParallel] with two flushes of about the same size, for items
// whose producers wait for the flush and come back with another item. The second
// flush begins when as many are pending as are in the first: otherwise one of
// many and one of few would take turns for ever, which costs more than two
// halves.
func NewPair[T any](flush func([]T)) *Group[T] {
	g := NewParallel(2, flush)
	g.even = true
	return g
}

// Add puts items into the next batch. It returns before they are flushed.
func (g *Group[T]) Add(items ...T) {
	g.mu.Lock()
	for len(g.pending) > maxPending {
		g.changed.Wait()
	}
	g.pending = append(g.pending, items...)
	if g.flushing < g.most && g.worthwhile() {
		g.flushing++
		go g.run()
	}
	g.mu.Unlock()
}

// Alone calls do in the place of a flush of one item, and returns true, if there
// is nothing that the item could be flushed with; otherwise the item is one for
// Add. It spares a lone producer the way to another goroutine and back.
func (g *Group[T]) Alone(do func()) bool {
	g.mu.Lock()
	g.asked++
	asked, idle := g.asked, g.idle()
	g.mu.Unlock()
	if !idle {
		return false
	}
	runtime.Gosched() // for those that are about to make an item, as in run: they ask too
	g.mu.Lock()
	if idle = g.idle() && g.asked == asked; idle {
		g.flushing, g.underWay = 1, 1
	}
	g.mu.Unlock()
	if !idle {
		return false
	}
	defer g.endAlone()
	do()
	return true
}

func (g *Group[T]) idle() bool { return g.flushing == 0 && len(g.pending) == 0 }

func (g *Group[T]) endAlone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
	if len(g.pending) > 0 && g.worthwhile() {
		go g.run() // in the place that becomes free
		return
	}
	g.flushing--
	g.changed.Broadcast()
}

// Len is how many items are pending or being flushed.
func (g *Group[T]) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pending) + g.underWay
}

// Wait returns when everything added before has been flushed.
func (g *Group[T]) Wait() {
	g.mu.Lock()
	for g.flushing > 0 {
		g.changed.Wait()
	}
	g.mu.Unlock()
}

// worthwhile tells whether to flush now what is pending. Where it is not, the
// end of the other flush makes it so.
func (g *Group[T]) worthwhile() bool { return !g.even || len(g.pending) >= g.underWay }

func (g *Group[T]) run() {
	// Whoever made the first item is mostly one of several that are about to
	// make one. A new goroutine would run before them, and flush that item alone.
	runtime.Gosched()
	g.mu.Lock()
	for len(g.pending) > 0 && g.worthwhile() {
		batch := g.pending
		g.pending, g.spare = g.spare[:0], nil
		g.underWay += len(batch)
		g.changed.Broadcast()
		g.mu.Unlock()

		g.flush(batch)
		clear(batch) // let go of what the items point to

		g.mu.Lock()
		g.spare = batch
		g.underWay -= len(batch)
	}
	g.flushing--
	g.changed.Broadcast()
	g.mu.Unlock()
}
