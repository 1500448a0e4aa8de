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
// not walked over again, and looks back for rows that appear behind it.
//
// It belongs to one goroutine, the claimer's.
type lanes struct {
	lookBack
	routes  *routing
	store   *store.Store
	control *control

	cursors map[lane]*cursor
	// seen are the lanes that tasks were in, or that handled types are declared
	// in; there are too many that could be to look at all of them every time.
	seen map[lane]bool
	turn int // rotates queues of equal priority
	// everyTook is what the last look at all priorities of all queues took.
	everyTook time.Duration
}

// cursor is how far a lane has been walked.
type cursor struct {
	store.Cursor
	ready bool // there may be tasks ahead
}

// The levels from which on a look back takes in all priorities of the sublanes
// that are known, and looks for sublanes that are not: those of a type of which
// another program says that it has a rate limit.
const (
	everyPriorityLevel = 1
	everySublaneLevel  = 3
)

// What looks back at all priorities may cost: of 100 queues there are 20,100
// probes, and ten times a second they would leave little time for the tasks.
const (
	everyQueueShare   = 20 // one in so many seconds
	everyQueueHighest = 3  // every 6.4 s, however long one takes
)

// everyQueueLevel is the level from which on a look back takes in all priorities
// of the worker's queues, if that took so long the last time. Those below look at
// the lanes that are seen, so a priority that is new to a queue may be found a
// little later.
func everyQueueLevel(took time.Duration) int {
	level, interval := 0, lookBackInterval
	for level < everyQueueHighest && interval < everyQueueShare*took {
		level, interval = level+1, 4*interval
	}
	return level
}

func newLanes(w *Worker) *lanes {
	ls := &lanes{routes: w.routes, store: w.client.store, control: w.control, cursors: map[lane]*cursor{}, seen: map[lane]bool{}}
	for _, one := range w.routes.byType {
		if d := one.definition; d != nil {
			ls.see(lane{d.queueName(), d.sublane(), int16(d.Priority)})
		}
	}
	return ls
}

// see notes a lane.
func (ls *lanes) see(l lane) {
	if ls.routes.works(l) {
		ls.seen[l] = true
	}
}

// ready are the lanes to claim from, most urgent first. Those of the same
// priority take turns at being served first.
func (ls *lanes) ready(open func(lane) bool) []lane {
	ready := make([]lane, 0, len(ls.cursors))
	for l, cur := range ls.cursors {
		if cur.ready && open(l) {
			ready = append(ready, l)
		}
	}
	slices.SortFunc(ready, func(a, b lane) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Sublane, b.Sublane))
	})
	ls.turn++
	for from := 0; from < len(ready); {
		to := from + 1
		for to < len(ready) && ready[to].Priority == ready[from].Priority {
			to++
		}
		rotate(ready[from:to], ls.turn)
		from = to
	}
	return ready
}

// divide divides total evenly among the ready lanes of a priority from which
// something is wanted, and leaves out those of lower priorities to which nothing
// is left.
//
// Of a backlog, a claim then takes what has waited longest, whatever its queue
// is: no queue waits for the turn of a whole claim, and rows that were written
// together, on the same pages, are worked together.
func divide(ready []lane, wants []int, total int) (served []lane, shares []int) {
	for from := 0; from < len(ready) && total > 0; {
		to, wanted := from, 0
		for ; to < len(ready) && ready[to].Priority == ready[from].Priority; to++ {
			if wants[to] > 0 {
				wanted++
			}
		}
		share := (total + wanted - 1) / max(wanted, 1)
		for _, want := range wants[from:to] {
			n := min(want, share)
			shares, total = append(shares, n), total-n
		}
		served, from = ready[:to], to
	}
	return served, shares
}

// request asks for so many tasks of each lane and for total of all together.
// Lanes of which nothing is wanted are not served.
func (ls *lanes) request(ready []lane, wants []int, total int) (req store.ClaimRequest, served []lane) {
	known := ls.routes.contracts.Load()
	req = store.ClaimRequest{Lanes: make([]store.Lane, 0, len(ready)), Limit: total, Known: known.newest, Foreign: known.foreign}
	served = make([]lane, 0, len(ready))
	for i, l := range ready {
		if wants[i] > 0 {
			served = append(served, l)
			req.Lanes = append(req.Lanes, store.Lane{LaneKey: store.LaneKey(l), Cursor: ls.cursors[l].Cursor, Want: int32(wants[i])})
		}
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
// that the claim did not come to stays. It returns the exhausted ones.
func (ls *lanes) advance(req store.ClaimRequest, served []lane, claimed []*store.Claimed, now time.Time) (exhausted []lane) {
	ls.saw(now)
	got := make([]int, len(served))
	last := -1
	for _, t := range claimed {
		got[t.Lane]++
		last = max(last, int(t.Lane))
		ls.cursors[served[t.Lane]].Cursor = store.Cursor{RunAt: t.RunAt.Time(), ID: t.ID}
	}
	if len(claimed) < req.Limit {
		last = len(served) // every lane was walked
	}
	for i, l := range served {
		if i < last && got[i] < int(req.Lanes[i].Want) {
			*ls.cursors[l] = cursor{Cursor: store.Cursor{RunAt: now, ID: math.MaxInt64}}
			exhausted = append(exhausted, l)
		}
	}
	return exhausted
}

// hint marks a lane that is said to have new tasks. Those may lie a little
// behind the cursor: their run_at is when their transaction began.
func (ls *lanes) hint(l lane) {
	ls.look(l, store.Cursor{RunAt: ls.databaseNow().Add(-lookBackReach)})
}

// look marks a lane as having tasks from a place on.
func (ls *lanes) look(l lane, from store.Cursor) {
	ls.see(l)
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

// find looks back for lanes that have tasks, as far as is due; with soon, a
// little at least.
func (ls *lanes) find(ctx context.Context, soon bool) error {
	at := time.Now()
	level := ls.due(at, soon)
	if level < 0 {
		return nil
	}
	everyQueue := level >= everyQueueLevel(ls.everyTook)
	question, err := ls.question(ctx, level, everyQueue)
	if err != nil {
		return err
	}
	if len(question.Every)+len(question.Named) == 0 && !ls.lookedTo.IsZero() { // claims come to all of them
		ls.looked(level, at, ls.databaseNow())
		return nil
	}
	began := time.Now()
	heads, now, err := ls.store.Lanes(ctx, question)
	if err != nil {
		return err
	}
	if everyQueue {
		ls.everyTook = time.Since(began)
	}
	ls.looked(level, at, now)
	for _, head := range heads {
		ls.see(lane(head.LaneKey))
		if head.DueIn <= 0 {
			ls.look(lane(head.LaneKey), store.Cursor{RunAt: head.First.RunAt, ID: head.First.ID - 1})
		} else {
			ls.willBeDue(head.DueIn)
		}
	}
	return nil
}

// question is what a look back of a level asks.
func (ls *lanes) question(ctx context.Context, level int, everyQueue bool) (q store.LaneQuestion, err error) {
	known := ls.routes.contracts.Load()
	q = store.LaneQuestion{Since: ls.since(level), Known: known.newest, Foreign: known.foreign}
	queues := ls.control.open(ls.routes.names)
	if everyQueue {
		for _, queue := range queues {
			q.Every = append(q.Every, store.LaneKey{Queue: queue})
		}
	}
	if level >= everySublaneLevel {
		found, err := ls.store.Sublanes(ctx, queues)
		if err != nil {
			return q, err
		}
		for _, l := range found {
			ls.see(lane(l))
		}
	}
	for l := range ls.seen {
		if !slices.Contains(queues, l.Queue) || l.Sublane == "" && everyQueue {
			continue
		}
		if l.Sublane == "" || level < everyPriorityLevel {
			if !ls.comesTo(l, q.Since) {
				q.Named = append(q.Named, store.LaneKey(l))
			}
			continue
		}
		if l.Priority = 0; !slices.Contains(q.Every, store.LaneKey(l)) {
			q.Every = append(q.Every, store.LaneKey(l))
		}
	}
	return q, nil
}

// comesTo tells whether claims will come to whatever is in a lane since a time.
func (ls *lanes) comesTo(l lane, since time.Time) bool {
	cur, known := ls.cursors[l]
	return known && cur.ready && cur.RunAt.Before(since)
}

// urgent is the highest priority of each queue that may have ready tasks.
func (ls *lanes) urgent() *map[string]int16 {
	urgent := map[string]int16{}
	for l, cur := range ls.cursors {
		if highest, ok := urgent[l.Queue]; cur.ready && (!ok || l.Priority > highest) {
			urgent[l.Queue] = l.Priority
		}
	}
	return &urgent
}

// highest is the highest priority of each queue that one of its tasks is known to
// have had, or a type that this worker handles is declared with.
func (ls *lanes) highest() map[string]int16 {
	highest := make(map[string]int16, len(ls.routes.names))
	for l := range ls.seen {
		if before, has := highest[l.Queue]; !has || l.Priority > before {
			highest[l.Queue] = l.Priority
		}
	}
	return highest
}

// hasReady tells whether a queue has a lane that may have tasks ahead and is open.
func (ls *lanes) hasReady(queue string, rates *rates) bool {
	if ls.control.current.Load().queues[queue].Paused {
		return false
	}
	for l, cur := range ls.cursors {
		if l.Queue == queue && cur.ready && rates.wait(l) <= 0 {
			return true
		}
	}
	return false
}

// anyReady tells whether there may be tasks ahead, in a lane that is not paused,
// that have not to wait for tokens; and how long those have to wait that do, 0
// when there are none.
func (ls *lanes) anyReady(rates *rates) (ready bool, wait time.Duration) {
	_, ready, wait = ls.leastUrgent(rates)
	return ready, wait
}

// leastUrgent is the lowest priority of those that anyReady tells of.
func (ls *lanes) leastUrgent(rates *rates) (lowest int16, ready bool, wait time.Duration) {
	current := ls.control.current.Load()
	for l, cur := range ls.cursors {
		if !cur.ready || current.queues[l.Queue].Paused {
			continue
		}
		switch d := rates.wait(l); {
		case d <= 0:
			if !ready || l.Priority < lowest {
				lowest, ready = l.Priority, true
			}
		case wait == 0 || d < wait:
			wait = d
		}
	}
	return lowest, ready, wait
}
