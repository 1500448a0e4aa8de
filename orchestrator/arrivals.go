package orchestrator

import (
	"context"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// arrivals is what a worker knows of the tasks of its queues that wait for
// their group's turn or for a slot of their limit. It looks for those whose
// turn or slot nobody has; the others are the business of whoever ends the task
// that has it.
//
// It walks the arrivals of each queue from a cursor, each task once, and looks
// back for those that it missed: a task that was stored while its turn was
// given up is seen by neither side.
//
// It belongs to one goroutine, the claimer's.
type arrivals struct {
	lookBack
	w      *Worker
	places map[place]*arrivalCursor
	// putOff says that there are arrivals which rest because of tasks that are
	// ready.
	putOff bool
	rest   time.Duration // arrivalRest
}

// arrivalCursor is how far the arrivals of a place have been walked.
type arrivalCursor struct {
	cursor
	restsUntil time.Time // while there is enough else to do
}

// place is a queue, and what its tasks wait for.
type place struct {
	queue string
	state int16 // store.StateBlocked or store.StateThrottled
}

// What one turn looks at, at most.
const (
	groupArrivals   = 1000
	limitedArrivals = 200
)

// A look that finds a free turn or slot for less than one in arrivalYield of the
// arrivals is of little use: whoever ends a task hands over to the next, and what
// has ended by the time of the next look costs nothing. So while there is enough
// else to do, the rest of them are left alone for arrivalRest times as long as it
// took.
const (
	arrivalYield = 10
	arrivalRest  = 50
)

func newArrivals(w *Worker) *arrivals {
	return &arrivals{w: w, places: map[place]*arrivalCursor{}, rest: arrivalRest}
}

// hint marks a queue that is said to have new arrivals. They may lie a little
// behind the cursor: their run_at is when their transaction began.
func (a *arrivals) hint(queue string) {
	for _, state := range []int16{store.StateBlocked, store.StateThrottled} {
		a.look(place{queue, state}, store.Cursor{RunAt: a.databaseNow().Add(-lookBackReach)})
	}
}

// look marks a place as having tasks from a cursor on.
func (a *arrivals) look(at place, from store.Cursor) {
	cur, known := a.places[at]
	switch {
	case !known:
		a.places[at] = &arrivalCursor{cursor: cursor{Cursor: from, ready: true}}
	case cur.RunAt.After(from.RunAt):
		cur.cursor = cursor{Cursor: from, ready: true}
	default:
		cur.ready = true
	}
}

// find looks back for arrivals, as far as is due; with soon, a little at least.
func (a *arrivals) find(ctx context.Context, soon bool) error {
	at := time.Now()
	level := a.due(at, soon)
	if level < 0 {
		return nil
	}
	heads, now, err := a.w.client.store.Arriving(ctx, a.w.routes.names, a.since(level))
	if err != nil {
		return err
	}
	a.looked(level, at, now)
	for _, head := range heads {
		if head.DueIn <= 0 {
			a.look(place{head.Queue, head.State}, store.Cursor{RunAt: head.First.RunAt, ID: head.First.ID - 1})
		} else {
			a.willBeDue(head.DueIn)
		}
	}
	return nil
}

// admit makes arrivals ready whose turn or slot is free, and tells the workers.
// There is enough to do in a queue without them when it has tasks that are ready,
// and in any when the worker is filled by what others will hand over. Admit returns
// true when there is more to look at now.
func (a *arrivals) admit(ctx context.Context, hasReady func(queue string) bool, filled bool) (more bool, err error) {
	a.putOff = false
	for at, cur := range a.places {
		if !cur.ready {
			continue
		}
		began := time.Now()
		rests := began.Before(cur.restsUntil)
		if rests && filled {
			continue
		}
		if rests && hasReady(at.queue) {
			a.putOff = true
			continue
		}
		var admitted store.Admitted
		limit := groupArrivals
		if at.state == store.StateBlocked {
			admitted, err = a.w.client.store.AdmitGroups(ctx, store.Arrivals{Queue: at.queue, Cursor: cur.Cursor, Limit: limit})
		} else {
			limit = limitedArrivals
			known := a.w.routes.contracts.Load()
			admitted, err = a.w.client.store.AdmitLimited(ctx, store.Arrivals{Queue: at.queue, Cursor: cur.Cursor, Limit: limit},
				known.ids, known.totals)
		}
		if err != nil {
			return false, err
		}
		if admitted.Won < admitted.Seen/arrivalYield {
			ended := time.Now()
			cur.restsUntil = ended.Add(a.rest * ended.Sub(began))
		}
		cur.ready = admitted.Seen == limit
		more = more || cur.ready
		if admitted.Seen > 0 {
			cur.Cursor = admitted.Cursor
		}
		a.w.handedOver(admitted.Handed)
	}
	return more, nil
}
