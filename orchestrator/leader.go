package orchestrator

import (
	"context"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// What one turn of upkeep may take at most.
const (
	recoverBatch = 5_000
	expireBatch  = 5_000
	forgetBatch  = 10_000
	// vacuumThreshold is how many dead rows make the leader vacuum the queue.
	vacuumThreshold = 50_000
)

// leader stands for leader, and does the leader's work while elected.
type leader struct {
	w          *Worker
	leadership store.Leadership
	leads      bool
	cleaned    time.Time
}

// lead stands for leader until ctx ends.
func (w *Worker) lead(ctx context.Context) {
	l := leader{w: w}
	defer l.resign()
	// Recovery is what others wait for, so it comes with every heartbeat.
	tick := min(w.config.HeartbeatInterval, w.config.LeaderTerm/3)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(tick)
		l.turn(ctx)
	}
}

func (l *leader) turn(ctx context.Context) {
	w := l.w
	s := w.lease.current.Load()
	if !w.lease.holds(s) {
		l.set(false)
		return
	}
	leadership, leads, err := w.client.store.Campaign(ctx, s.id, w.config.LeaderTerm)
	l.leadership.Worker = s.id // with an error it may have won all the same
	if err != nil {
		w.failedDuty(ctx, err)
		return
	}
	l.leadership = leadership
	l.set(leads)
	if err := w.routes.refresh(ctx); err != nil {
		w.failedDuty(ctx, err)
	}
	if !leads {
		return
	}
	w.recover(ctx, leadership)
	if time.Since(l.cleaned) >= w.config.CleanupInterval {
		l.cleaned = time.Now()
		w.cleanUp(ctx, leadership)
	}
}

func (l *leader) set(leads bool) {
	if l.leads == leads {
		return
	}
	l.leads = leads
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

// recover takes back the tasks of dead workers.
func (w *Worker) recover(ctx context.Context, l store.Leadership) {
	for {
		r, err := w.client.store.Recover(ctx, l, recoverBatch, w.routes.maxAttempts)
		if err != nil {
			w.failedDuty(ctx, err)
			return
		}
		w.client.metrics.Recovered(r.Back, r.Dead)
		if len(r.Workers) > 0 || r.Back+r.Dead > 0 {
			w.logger.Warn("recovered the tasks of dead workers", "workers", r.Workers, "back", r.Back, "dead", r.Dead)
		}
		if r.Back+r.Dead < recoverBatch {
			return
		}
	}
}

// cleanUp removes what is out of date and makes room for what comes.
func (w *Worker) cleanUp(ctx context.Context, l store.Leadership) {
	st := w.client.store
	for _, prepare := range []func(context.Context) error{st.AddHistoryDays, st.PadTasks} {
		if err := prepare(ctx); err != nil {
			w.failedDuty(ctx, err)
		}
	}
	for _, duty := range []struct {
		run   func(context.Context, store.Leadership, int) (int64, error)
		batch int
	}{{st.Expire, expireBatch}, {st.ForgetKeys, forgetBatch}} {
		for {
			n, err := duty.run(ctx, l, duty.batch)
			if err != nil {
				w.failedDuty(ctx, err)
			}
			if err != nil || n < int64(duty.batch) {
				break
			}
		}
	}
	if _, err := st.Vacuum(ctx, vacuumThreshold); err != nil {
		w.failedDuty(ctx, err)
	}
}

func (w *Worker) failedDuty(ctx context.Context, err error) {
	if ctx.Err() == nil {
		w.logger.Warn("upkeep failed; it is tried again at the next turn", "error", err)
	}
}
