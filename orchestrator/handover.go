package orchestrator

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// handsOver tells whether the end of j makes another task's turn come.
func (j *job) handsOver() bool { return j.Grouped || j.Limited }

// turn says what becomes of the turn and the slot that j has when it ends.
func (w *Worker) turn(j *job) store.Turn {
	return store.Turn{Direct: j.handsOver() && w.continues(j), Slot: j.Limited, Total: slotTotal(j.route.definition)}
}

// slotTotal is how many slots the limit of d has.
func slotTotal(d *Definition) int16 {
	if d.Concurrency == nil {
		return math.MaxInt16 // waiting tasks may be from when there was one
	}
	return int16(min(d.Concurrency.Total, math.MaxInt16))
}

// laneShare is the share of hand-overs that go by the lane while all slots are
// taken: one in so many.
const laneShare = 16

// continues tells whether this worker may run what comes after j right away,
// without the way through the lane: when that takes nothing from tasks that are
// more urgent, and, while all slots are taken, not always, so that a group or
// limit which always has more tasks cannot keep them for ever.
func (w *Worker) continues(j *job) bool {
	if !w.mayTakeOver(j.Queue) {
		return false
	}
	if !w.pool.hasFreeSlot(j.Queue) && rand.IntN(laneShare) == 0 {
		return false
	}
	urgent := w.claimer.urgent.Load()
	if urgent == nil {
		return true
	}
	priority, ready := (*urgent)[j.Queue]
	return !ready || priority <= j.Priority
}

// mayTakeOver tells whether tasks of a queue may be claimed otherwise than from
// their lanes.
func (w *Worker) mayTakeOver(queue string) bool {
	return !w.control.current.Load().queues[queue].Paused && w.routes.contracts.Load().rates[queueBucket(queue)] == nil
}

// taker is this worker as the one who takes over tasks, nobody when it may not
// start any.
func (w *Worker) taker() (*session, store.Taker) {
	s := w.lease.current.Load()
	if w.lease.draining.Load() || !w.lease.holds(s) {
		return s, store.Taker{}
	}
	known := w.routes.contracts.Load()
	return s, store.Taker{Worker: s.id, Claim: s.claims.Add(1), Known: known.newest, Foreign: known.foreign}
}

// handedOver looks after what the end of tasks, or an arrival, has led to.
func (w *Worker) handedOver(h store.Handed) {
	w.client.wakeups.tell(lanesHandedOver(h))
	if len(h.Groups) > 0 || len(h.Limits) > 0 {
		w.finisher.stragglers.Go(func() { w.settle(h.Groups, h.Limits) })
	}
}

// lanesHandedOver are the lanes that have new tasks.
func lanesHandedOver(h store.Handed) map[lane]struct{} {
	lanes := map[lane]struct{}{}
	for _, l := range h.Ready {
		lanes[lane(l)] = struct{}{}
	}
	for _, queue := range h.Arriving {
		lanes[arrivingIn(queue)] = struct{}{}
	}
	return lanes
}

// settle tries to give turns and slots to the next tasks for as long as those
// are locked by somebody, or the worker stops; then the leader will.
func (w *Worker) settle(groups, limits []string) {
	for pause := 5 * time.Millisecond; len(groups)+len(limits) > 0; pause = min(2*pause, time.Second) {
		if waitFor(w.finisher.ctx.Done(), pause) || w.lease.draining.Load() {
			return
		}
		ctx, cancel := context.WithTimeout(w.finisher.ctx, finishTimeout)
		h, err := w.client.store.Settle(ctx, groups, limits, w.routes.slotTotals(limits))
		cancel()
		if err != nil {
			w.logger.Warn("turns of groups or slots of limits were not handed over; trying again", "groups", len(groups), "limits", len(limits), "error", err)
			continue
		}
		groups, limits = h.Groups, h.Limits
		h.Groups, h.Limits = nil, nil
		w.handedOver(h)
	}
}

// unflooredEvery is how often the next task of a group is looked for from the
// beginning: a task that was enqueued in a long transaction has a lower id than
// those that were ended meanwhile.
const unflooredEvery = time.Second

// floored tells whether the next tasks of groups are looked for above those
// that have just ended.
func (f *finisher) floored() bool {
	now, last := time.Now().UnixNano(), f.unfloored.Load()
	return now-last < int64(unflooredEvery) || !f.unfloored.CompareAndSwap(last, now)
}

// handing wraps a statement that hands turns over. When its answer is lost, it
// may have claimed tasks: the claimer gives those back.
func (f *finisher) handing(run func(context.Context, []outcome, store.Taker) (store.Handed, error)) statement {
	return func(ctx context.Context, part []outcome) ([]int64, error) {
		s, taker := f.w.taker()
		taker.Floored = f.floored()
		h, err := run(ctx, part, taker)
		if err != nil {
			if taker.Worker != 0 && store.Uncertain(err) {
				f.w.claimer.uncertainAbout(s, taker.Claim)
			}
			return nil, err
		}
		if len(h.Taken) > 0 {
			f.w.accept(s, taker.Claim, h.Taken, h.Now)
			runtime.Gosched() // what ends at once goes into the next batch as a whole
		}
		f.w.handedOver(h)
		return h.Ended, nil
	}
}
