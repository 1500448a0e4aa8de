package orchestrator

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// lanes is what a worker knows of the lanes it claims from.
//
// It walks each from a cursor, so that rows which were claimed a moment ago,
// and which a long transaction somewhere keeps PostgreSQL from cleaning up, are
// not walked over again. Rows can appear behind a cursor, because transactions
// commit in another order than they begin. So it also looks back: often a
// little, seldom far, and at first at everything.
//
// It belongs to one goroutine, the claimer's.
type lanes struct {
	routes  *routing
	store   *store.Store
	control *control

	cursors  map[lane]*cursor
	turn     int       // rotates queues of equal priority
	now      time.Time // the database's time as a statement returned it
	nowAt    time.Time // when it did, by this process's clock
	lookedAt [lookBackLevels]time.Time
	lookedTo time.Time // database time of the last look back
	// next is when, by this process's clock, the first task that was scheduled
	// for later is due; zero when the last look back found none.
	next time.Time
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

func newLanes(w *Worker) *lanes {
	return &lanes{routes: w.routes, store: w.client.store, control: w.control, cursors: map[lane]*cursor{}}
}

// request asks for what there is room for, most urgent lanes first. Queues of
// the same priority take turns at being served first.
func (ls *lanes) request(wants map[string]int, total int) (store.ClaimRequest, []lane) {
	known := ls.routes.contracts.Load()
	req := store.ClaimRequest{Limit: total, Known: known.newest, Foreign: known.foreign}
	served := make([]lane, 0, len(ls.cursors))
	for l, cur := range ls.cursors {
		if cur.ready && wants[l.queue] > 0 {
			served = append(served, l)
		}
	}
	slices.SortFunc(served, func(a, b lane) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.queue, b.queue))
	})
	ls.turn++
	for from := 0; from < len(served); {
		to := from + 1
		for to < len(served) && served[to].priority == served[from].priority {
			to++
		}
		rotate(served[from:to], ls.turn)
		from = to
	}
	for _, l := range served {
		req.Lanes = append(req.Lanes, store.Lane{
			Queue: l.queue, Priority: l.priority, Cursor: ls.cursors[l].Cursor, Want: int32(wants[l.queue]),
		})
	}
	return req, served
}

func rotate(some []lane, by int) {
	if by %= len(some); by > 0 {
		copy(some, append(slices.Clone(some[by:]), some[:by]...))
	}
}

// advance moves the cursors. A lane that gave less than it was asked for is
// exhausted up to now; one that gave all stands at the last task it gave; one
// that the claim did not come to stays.
func (ls *lanes) advance(req store.ClaimRequest, served []lane, claimed []store.Claimed, now time.Time) {
	ls.now, ls.nowAt = now, time.Now()
	got := make([]int, len(served))
	last := -1
	for i := range claimed {
		t := &claimed[i]
		got[t.Lane]++
		last = max(last, t.Lane)
		ls.cursors[served[t.Lane]].Cursor = store.Cursor{RunAt: t.RunAt, ID: t.ID}
	}
	if len(claimed) < req.Limit {
		last = len(served) // every lane was walked
	}
	for i, l := range served {
		if i < last && got[i] < int(req.Lanes[i].Want) {
			*ls.cursors[l] = cursor{Cursor: store.Cursor{RunAt: now, ID: math.MaxInt64}}
		}
	}
}

// hint marks lanes that are said to have new tasks. Those may lie a little
// behind the cursor: their run_at is when their transaction began.
func (ls *lanes) hint(some map[lane]bool) {
	for l := range some {
		ls.look(l, store.Cursor{RunAt: ls.databaseNow().Add(-lookBackReach)})
	}
}

// look marks a lane as having tasks from a place on.
func (ls *lanes) look(l lane, from store.Cursor) {
	cur, known := ls.cursors[l]
	switch {
	case !known:
		ls.cursors[l] = &cursor{Cursor: from, ready: true}
	case cur.RunAt.After(from.RunAt):
		*cur = cursor{Cursor: from, ready: true}
	default:
		cur.ready = true
	}
}

// databaseNow estimates the database's time from the last statement's. It is
// only used with a margin, and for nothing that is stored.
func (ls *lanes) databaseNow() time.Time { return ls.now.Add(time.Since(ls.nowAt)) }

// lookBack finds the lanes that have tasks, as far back as is due; with soon,
// a little at least.
func (ls *lanes) lookBack(ctx context.Context, soon bool) error {
	at := time.Now()
	level := ls.level(at)
	if level < 0 && (soon || !ls.next.IsZero() && !at.Before(ls.next)) {
		level = 0
	}
	if level < 0 {
		return nil
	}
	known := ls.routes.contracts.Load()
	heads, now, err := ls.store.Lanes(ctx, ls.control.open(ls.routes.names), ls.since(level), store.ClaimRequest{Known: known.newest, Foreign: known.foreign})
	if err != nil {
		return err
	}
	for k := range level + 1 {
		ls.lookedAt[k] = at
	}
	ls.now, ls.nowAt, ls.lookedTo, ls.next = now, time.Now(), now, time.Time{}
	for _, head := range heads {
		if head.DueIn <= 0 {
			ls.look(lane{head.Queue, head.Priority}, store.Cursor{RunAt: head.First.RunAt, ID: head.First.ID - 1})
		} else if due := ls.nowAt.Add(head.DueIn); ls.next.IsZero() || due.Before(ls.next) {
			ls.next = due
		}
	}
	return nil
}

// level is the highest level that is due, -1 for none.
func (ls *lanes) level(at time.Time) int {
	level, interval := -1, lookBackInterval
	for k := range lookBackLevels {
		if at.Sub(ls.lookedAt[k]) >= interval {
			level = k
		}
		interval *= 4
	}
	return level
}

// since is how far back a level looks, in the database's time.
func (ls *lanes) since(level int) time.Time {
	if level == lookBackLevels-1 {
		return time.Time{} // the beginning
	}
	since := ls.databaseNow().Add(-lookBackReach << (2 * level))
	if before := ls.lookedTo.Add(-lookBackReach); before.Before(since) {
		return before // it is a while since the last look
	}
	return since
}

// anyReady tells whether there may be tasks in a lane that is not paused.
func (ls *lanes) anyReady() bool {
	current := ls.control.current.Load()
	for l, cur := range ls.cursors {
		if cur.ready && !current.queues[l.queue].Paused {
			return true
		}
	}
	return false
}

// forget makes the next look back go to the beginning: what was paused may lie
// anywhere behind the cursors.
func (ls *lanes) forget() { ls.lookedAt = [lookBackLevels]time.Time{} }
