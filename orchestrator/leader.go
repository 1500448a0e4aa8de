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

// lead stands for leader until ctx ends, and does the leader's work while
// elected.
func (w *Worker) lead(ctx context.Context) {
	var leadership store.Leadership
	var leads bool
	var cleaned time.Time
	defer func() {
		if leads {
			w.resign(leadership)
			w.client.metrics.Leads(false)
		}
	}()
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
		s := w.lease.current.Load()
		if !w.lease.holds(s) {
			leads = false
			continue
		}
		was := leads
		var err error
		leadership, leads, err = w.client.store.Campaign(ctx, s.id, w.config.LeaderTerm)
		if err != nil {
			if ctx.Err() == nil {
				w.logger.Warn("campaign for leadership failed; trying again", "error", err)
			}
			continue
		}
		if leads != was {
			w.logger.Info("leadership changed", "leads", leads, "epoch", leadership.Epoch)
			w.client.metrics.Leads(leads)
		}
		if err := w.routes.refresh(ctx); err != nil {
			w.failedDuty(ctx, err)
		}
		if !leads {
			continue
		}
		w.recover(ctx, leadership)
		if time.Since(cleaned) >= w.config.CleanupInterval {
			cleaned = time.Now()
			w.cleanUp(ctx, leadership)
		}
	}
}

func (w *Worker) resign(l store.Leadership) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := w.client.store.Resign(ctx, l); err != nil {
		w.logger.Debug("leadership not given up; it will run out", "error", err)
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
