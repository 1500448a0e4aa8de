package orchestrator

import (
	"cmp"
	"context"
	"slices"
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
	// whole says that the next look is not to be a small one: see takesOver.
	whole      bool
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

// demand is what a worker could do at a moment.
type demand struct {
	// room is how many more tasks of each queue the worker could hold.
	room func(queue string) int
	// hasReady tells whether a queue has tasks that are ready: then there is
	// enough to do in it without arrivals.
	hasReady func(queue string) bool
	// filled says that what others will hand over fills the worker, so that there
	// is enough to do in any queue.
	filled bool
	// idle says that nothing is ready in any queue.
	idle bool
}

// admitted is what a turn has made of arrivals.
type admitted struct {
	more bool // there is more to look at now
	won  int  // turns and slots that were free
}

// admit gives those of the arrivals their turn or slot that nobody has, and
// tells the workers of those that are ready then.
//
// Where nothing else waits, neither in a lane nor in another place, the worker
// claims tasks at once, without the way through the lane.
func (a *arrivals) admit(ctx context.Context, d demand) (done admitted, err error) {
	a.putOff = false
	places := a.readyPlaces()
	alone := d.idle
	for i, at := range places {
		cur := a.places[at]
		began := time.Now()
		rests := began.Before(cur.restsUntil)
		if rests && d.filled {
			alone = false
			continue
		}
		if rests && d.hasReady(at.queue) {
			a.putOff, alone = true, false
			continue
		}
		look := store.Arrivals{Queue: at.queue, Cursor: cur.Cursor}
		var got store.Admitted
		if at.state == store.StateBlocked {
			look.Limit = groupArrivals
			if alone && i == len(places)-1 {
				look = a.takesOver(look, cur, d)
			}
			got, err = a.admitGroups(ctx, look)
		} else {
			look.Limit = limitedArrivals
			known := a.w.routes.contracts.Load()
			got, err = a.w.client.store.AdmitLimited(ctx, look, known.ids, known.totals)
		}
		if err != nil {
			return done, err
		}
		poor := got.Won < got.Seen/arrivalYield
		if poor {
			ended := time.Now()
			cur.restsUntil = ended.Add(a.rest * ended.Sub(began))
		}
		cur.whole = poor || look.Room > 0 && got.Won > 0 && len(got.Taken) == 0
		alone = alone && got.Seen == 0
		cur.ready = got.Seen == look.Limit
		done.more = done.more || cur.ready
		done.won += got.Won
		if got.Seen > 0 {
			cur.Cursor = got.Cursor
		}
		a.w.handedOver(got.Handed)
	}
	return done, nil
}

// any tells whether there may be arrivals.
func (a *arrivals) any() bool {
	for _, cur := range a.places {
		if cur.ready {
			return true
		}
	}
	return false
}

// readyPlaces are the places that may have arrivals, those with tasks that wait for
// a turn last: the worker may claim from the last place, where the others had none.
func (a *arrivals) readyPlaces() (ready []place) {
	for at, cur := range a.places {
		if cur.ready {
			ready = append(ready, at)
		}
	}
	slices.SortFunc(ready, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.state, a.state), cmp.Compare(a.queue, b.queue))
	})
	return ready
}

// takesOver is a look at arrivals of which the worker claims as many as it has
// room for. It looks at no more than about as many, as what wins a turn without being
// claimed has to go through the lane, unless few of the last had a turn to win, or
// none could be claimed. As others may come later in the walk, it claims only what is
// as urgent as anything that is known of the queue.
func (a *arrivals) takesOver(look store.Arrivals, cur *arrivalCursor, d demand) store.Arrivals {
	if !a.w.mayTakeOver(look.Queue) {
		return look
	}
	look.Room, look.Priority = d.room(look.Queue), a.w.claimer.lanes.highest()[look.Queue]
	if look.Room > 0 && !cur.whole {
		look.Limit = min(max(look.Room, groupArrivals/10), groupArrivals)
	}
	return look
}

// admitGroups looks at tasks that wait for the turn of their group.
func (a *arrivals) admitGroups(ctx context.Context, look store.Arrivals) (store.Admitted, error) {
	if look.Room <= 0 {
		return a.w.client.store.AdmitGroups(ctx, look)
	}
	s, taker := a.w.taker()
	look.Taker = taker
	began := time.Now()
	got, err := a.w.client.store.AdmitGroups(ctx, look)
	if err != nil {
		if taker.Worker != 0 && got.Won > 0 && store.Uncertain(err) {
			a.w.claimer.disownLater(s, taker.Claim)
		}
		return got, err
	}
	if len(got.Taken) > 0 {
		a.w.claimer.received(began, got.Taken)
		for _, t := range got.Taken {
			a.w.claimer.lanes.see(lane(*t.LaneKey))
		}
		a.w.accept(s, taker.Claim, got.Taken, got.Now)
	}
	return got, nil
}
