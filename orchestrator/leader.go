package orchestrator

import (
	"context"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// What one turn of upkeep may take at most.
const (
	recoverBatch = 5_000
	expireBatch  = 5_000
	forgetBatch  = 10_000
	deadsBatch   = 1_000
	settleBatch  = 1_000
	strayBatch   = 5_000
)

// leader stands for leader, and does the leader's work while elected.
type leader struct {
	w          *Worker
	leadership store.Leadership
	leads      bool
	cleaned    time.Time
	// sweepAfter is when tasks without a worker are looked for although no
	// worker has died; zero is at the next turn. A new leader waits for a turn:
	// when workers start one after the other, each may lead for a moment.
	sweepAfter time.Time
	depth      *depthMeter
	vacuum     *vacuumer
}

// lead stands for leader until ctx ends.
func (w *Worker) lead(ctx context.Context) {
	l := leader{w: w, depth: newDepthMeter(w), vacuum: &vacuumer{w: w}}
	defer l.resign()
	defer l.vacuum.wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.leaderWanted:
			if l.leads {
				l.settleCancelled(ctx)
				continue
			}
		case <-timer.C:
		}
		timer.Reset(l.tick())
		l.turn(ctx)
	}
}

// tick is the time between two turns. Recovery is what others wait for, so it
// comes with every heartbeat.
func (l *leader) tick() time.Duration {
	return min(l.w.config.HeartbeatInterval, l.w.config.LeaderTerm/3)
}

func (l *leader) turn(ctx context.Context) {
	w := l.w
	s := w.lease.current.Load()
	if !w.lease.holds(s) {
		return
	}
	if l.leads && l.leadership.Worker != s.id {
		l.resign() // that was under a lease since lost; nobody should have to wait for its term to end
	}
	leadership, leads, err := l.campaign(ctx, s.id)
	l.leadership.Worker = s.id // with an error it may have won all the same
	if err != nil {
		w.failedDuty(ctx, err)
		return
	}
	l.leadership = leadership
	l.set(leads)
	if err := w.within(ctx, w.routes.refresh); err != nil {
		w.failedDuty(ctx, err)
	}
	if !leads {
		return
	}
	l.recover(ctx)
	l.settleCancelled(ctx)
	l.depth.measure(ctx)
	l.vacuum.start(ctx)
	if time.Since(l.cleaned) >= w.config.CleanupInterval {
		l.cleaned = time.Now()
		w.cleanUp(ctx, leadership)
	}
}

// campaignTimeout bounds a campaign. It does not end with the worker's context:
// one that was broken off may win all the same, after the worker has resigned.
const campaignTimeout = 10 * time.Second

func (l *leader) campaign(ctx context.Context, worker int64) (store.Leadership, bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), campaignTimeout)
	defer cancel()
	return l.w.client.store.Campaign(ctx, worker, l.w.config.LeaderTerm)
}

// dutyTimeout bounds one statement or transaction of the leader's: no answer
// may also mean that the connection is dead without a word.
const dutyTimeout = 20 * time.Second

func (w *Worker) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, dutyTimeout)
	defer cancel()
	return do(ctx)
}

func (l *leader) set(leads bool) {
	if leading := l.leadership; leads {
		l.w.leading.Store(&leading)
	} else {
		l.w.leading.Store(nil)
	}
	if l.leads == leads {
		return
	}
	l.leads, l.sweepAfter = leads, time.Now().Add(l.tick())
	l.w.logger.Info("leadership changed", "leads", leads, "epoch", l.leadership.Epoch)
	l.w.client.metrics.Leads(leads)
}

// resign gives up what the last campaign may have won, so that another worker
// need not wait for the term to end.
func (l *leader) resign() {
	l.set(false)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.w.client.store.Resign(ctx, l.leadership.Worker); err != nil {
		l.w.logger.Debug("leadership not given up; it will run out", "error", err)
	}
}

// sweepRest is how many times as long as a sweep took, which reads the whole
// table of tasks, the leader rests from sweeping. Small tables are swept at
// every turn.
const sweepRest = 100

// recover takes back the tasks of dead workers.
func (l *leader) recover(ctx context.Context) {
	w := l.w
	for limit := recoverBatch; ; {
		var r store.Recovery
		began := time.Now()
		err := w.within(ctx, func(ctx context.Context) (err error) {
			r, err = w.client.store.Recover(ctx, l.leadership, limit, !began.Before(l.sweepAfter), w.maxAttempts, w.routes.contracts.Load().blocking)
			return err
		})
		if err != nil {
			l.sweepAfter = time.Time{} // a death that was found may have to be found again
			w.failedDuty(ctx, err)
			if limit /= 10; store.TookTooLong(err) && limit > 0 {
				continue
			}
			return
		}
		w.client.metrics.Recovered(len(r.Workers), r.Back, r.Dead)
		w.countMoved(r.DeadOf, telemetry.Dead)
		w.handedOver(r.Handed)
		cancelled := w.countMoved(r.Cancelled, telemetry.Cancelled)
		if len(r.Workers) > 0 || r.Back+r.Dead+cancelled > 0 {
			w.logger.Warn("recovered the tasks of dead workers", "workers", r.Workers, "back", r.Back, "dead", r.Dead, "cancelled", cancelled)
		}
		if r.Back+r.Dead+cancelled < limit {
			if r.Swept {
				l.sweepAfter = time.Now().Add(sweepRest * time.Since(began))
			}
			return
		}
		l.sweepAfter = time.Time{} // there are more
	}
}

// settleCancelled looks after cancel requests whose task nobody runs.
func (l *leader) settleCancelled(ctx context.Context) {
	for {
		var settled int
		err := l.w.within(ctx, func(ctx context.Context) error {
			gone, n, h, err := l.w.client.store.SettleCancelled(ctx, l.leadership, settleBatch)
			l.w.handedOver(h)
			l.w.countMoved(gone, telemetry.Cancelled)
			settled = n
			return err
		})
		if err != nil {
			l.w.failedDuty(ctx, err)
			return
		}
		if settled < settleBatch {
			return
		}
		l.w.client.results.finished()
	}
}

// cleanUp removes what is out of date and makes room for what comes.
func (w *Worker) cleanUp(ctx context.Context, l store.Leadership) {
	st := w.client.store
	addHistoryDays := func(ctx context.Context) error { return st.AddHistoryDays(ctx) }
	for _, prepare := range []func(context.Context) error{addHistoryDays, st.PadTasks} {
		if err := w.within(ctx, prepare); err != nil {
			w.failedDuty(ctx, err)
		}
	}
	for _, duty := range []struct {
		run   func(context.Context, store.Leadership, int) (int64, error)
		batch int
	}{
		{w.expire, expireBatch}, {w.buryOverdue, expireBatch}, {st.ForgetKeys, forgetBatch}, {w.forgetDead, deadsBatch}, {st.ForgetProgress, forgetBatch},
		{w.settleStray, strayBatch}, {st.ForgetSchedules, forgetBatch},
	} {
		for {
			var n int64
			err := w.within(ctx, func(ctx context.Context) (err error) {
				n, err = duty.run(ctx, l, duty.batch)
				return err
			})
			if err != nil {
				w.failedDuty(ctx, err)
			}
			if err != nil || n < int64(duty.batch) {
				break
			}
		}
	}
	w.removeHistory(ctx, l)
}

// expire ends waiting tasks whose ttl has passed.
func (w *Worker) expire(ctx context.Context, l store.Leadership, limit int) (int64, error) {
	gone, h, err := w.client.store.Expire(ctx, l, limit)
	w.handedOver(h)
	return int64(w.countMoved(gone, telemetry.Expired)), err
}

// settleStray gives turns and slots to somebody that no task has.
func (w *Worker) settleStray(ctx context.Context, l store.Leadership, limit int) (int64, error) {
	h, stray, err := w.client.store.SettleStray(ctx, l, limit, w.routes.slotTotal)
	w.handedOver(h)
	if stray > 0 {
		w.logger.Warn("handed over turns of groups and slots of limits whose tasks were not there any more", "turns", stray)
	}
	return int64(stray), err
}

// buryOverdue ends waiting tasks whose deadline has passed.
func (w *Worker) buryOverdue(ctx context.Context, l store.Leadership, limit int) (int64, error) {
	gone, h, err := w.client.store.BuryOverdue(ctx, l, limit, w.routes.contracts.Load().blocking)
	w.handedOver(h)
	n := w.countMoved(gone, telemetry.Dead)
	if n > 0 {
		w.logger.Error("tasks are dead: their deadlines passed before it was their turn", "tasks", n)
	}
	return int64(n), err
}

// countMoved counts tasks that the leader has ended.
func (w *Worker) countMoved(moved []store.Moved, state string) (total int) {
	for _, m := range moved {
		w.client.metrics.Ended(m.Type, m.Queue, state, m.N)
		total += m.N
	}
	return total
}

func (w *Worker) failedDuty(ctx context.Context, err error) {
	if ctx.Err() == nil {
		w.logger.Warn("upkeep failed; it is tried again at the next turn", "error", err)
	}
}

// removeHistory drops the days of history that nobody wants to keep any more.
func (w *Worker) removeHistory(ctx context.Context, l store.Leadership) {
	var removed []string
	err := w.within(ctx, func(ctx context.Context) (err error) {
		removed, err = w.client.store.RemoveHistory(ctx, l)
		return err
	})
	if len(removed) > 0 {
		w.logger.Info("removed history whose retention is over", "partitions", removed)
	}
	switch {
	case store.Busy(err):
		w.logger.Info("somebody reads old history; its removal is tried again at the next clean-up", "error", err)
	case err != nil:
		w.failedDuty(ctx, err)
	}
}

// forgetDead deletes dead letters that nobody has looked after for so long.
func (w *Worker) forgetDead(ctx context.Context, l store.Leadership, limit int) (int64, error) {
	if w.config.DeadRetention < 0 {
		return 0, nil
	}
	n, h, err := w.client.store.ForgetDead(ctx, l, w.config.DeadRetention, limit)
	w.handedOver(h)
	if n > 0 {
		w.logger.Warn("deleted dead letters whose retention is over", "tasks", n, "kept", w.config.DeadRetention)
	}
	return n, err
}
