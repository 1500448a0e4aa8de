package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// Worker claims tasks and runs their handlers.
//
//	   ┌───────────────── wake (NOTIFY, this process's enqueues, poll)
//	   ▼
//	claimer ── claimed ──► pool ── outcomes ──► finisher
//	   ▲                    │ one goroutine a running task
//	   └──── room ──────────┘
//
//	control: what people change at run time: pauses, limits, policies, cancels
//	lease: heartbeats on a connection of its own; cancels all handlers
//	       when the lease is lost
//	leader: while elected, recovers the tasks of dead workers and keeps
//	       the tables tidy
//	scheduler: while leader, enqueues the tasks of schedules
//
// Every goroutine is started and joined by [Worker.Run].
type Worker struct {
	client *Client
	mux    *Mux
	config WorkerConfig
	logger *slog.Logger

	// abandonAfter is how long a handler whose context has ended may go on
	// before the worker says so.
	abandonAfter time.Duration

	used     atomic.Bool
	routes   *routing
	lease    *lease
	pool     *pool
	finisher *finisher
	progress *progressLog
	// deliverer is nil without webhooks.
	deliverer *deliverer
	claimer   *claimer
	control   *control
	// leaderWanted says that nobody leads, or that there is something for the
	// leader to do.
	leaderWanted chan struct{}
	leading      atomic.Pointer[store.Leadership] // as the leader's goroutine saw it last; nil while another leads
}

// NewWorker returns a worker for the task types registered in mux. Problems of
// mux or config are reported by [Worker.Run].
func NewWorker(client *Client, mux *Mux, config WorkerConfig) *Worker {
	return &Worker{client: client, mux: mux, config: config, abandonAfter: abandonAfter}
}

// Run works tasks until ctx is cancelled, and then drains: it claims nothing
// more, lets running tasks go on for ShutdownTimeout, cancels what is left with
// [ErrShutdown] and gives it back without spending an attempt. Handlers'
// contexts carry ctx's values, not its cancellation.
//
// It returns nil after an orderly drain, and an error when the worker cannot
// start: a bad config, a spec that needs what the engine does not have, an
// unreachable or not migrated database. A database that goes away later is
// waited for. A Worker runs once.
func (w *Worker) Run(ctx context.Context) error {
	if w.used.Swap(true) {
		return errors.New("orchestrator: Worker.Run called twice: make a new worker")
	}
	if err := w.prepare(ctx); err != nil {
		return unlessCancelled(ctx, err)
	}
	// Outlives ctx: what runs when ctx ends must end orderly.
	base := context.WithoutCancel(ctx)
	handlers, stopHandlers := context.WithCancelCause(base)
	defer stopHandlers(nil)
	server, err := w.listenHTTP(ctx)
	if err != nil {
		return err
	}
	defer server.close() // last: until then it tells that the worker is stopping
	if err := w.patiently(ctx, func(ctx context.Context) error { return w.lease.start(ctx, handlers) }); err != nil {
		return unlessCancelled(ctx, err)
	}
	w.client.running.add(ctx, w)
	defer w.client.running.remove(w)
	server.start(w)

	background, stopBackground := context.WithCancel(base)
	defer stopBackground()
	var upkeep errgroup.Group
	upkeep.Go(func() error { w.lease.run(background); return nil })
	upkeep.Go(func() error { w.control.run(background); return nil })

	defer w.pool.count()()
	w.client.wakeups.add(w)
	var claiming errgroup.Group
	claiming.Go(func() error { w.claimer.run(ctx); return nil })
	claiming.Go(func() error { w.listen(ctx); return nil })
	claiming.Go(func() error { w.lead(ctx); return nil })
	claiming.Go(func() error { newScheduler(w).run(ctx); return nil })
	w.logger.Info("worker started", "slots", w.pool.slotsNow(), "queues", strings.Join(w.routes.names, ","), "tasks", len(w.routes.byType))

	_ = claiming.Wait() // ctx has ended
	w.client.wakeups.remove(w)
	w.drain(stopHandlers)
	stopBackground()
	_ = upkeep.Wait()
	w.lease.end()
	w.logger.Info("worker stopped")
	return nil
}

// unlessCancelled is nil when the worker was told to stop before it began: then
// err is only how the start was broken off.
func unlessCancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// prepare checks everything that can be wrong before the first claim.
func (w *Worker) prepare(ctx context.Context) error {
	config, err := w.config.withDefaults()
	if err != nil {
		return err
	}
	w.config = config
	if w.logger = config.Logger; w.logger == nil {
		w.logger = w.client.logger
	}
	if err := w.patiently(ctx, w.client.migrated); err != nil {
		return err
	}
	if err := w.patiently(ctx, func(ctx context.Context) (err error) {
		w.routes, err = newRouting(ctx, w.client, w.mux, config.Queues, w.logger, w.deliveries())
		return err
	}); err != nil {
		return err
	}
	// For the retentions of this mux; the leader sees to it from then on.
	if err := w.client.store.AddHistoryDays(ctx); err != nil {
		return err
	}
	w.lease = newLease(w)
	w.finisher = newFinisher(w)
	w.progress = newProgressLog(w)
	w.pool = newPool(w)
	w.control = newControl(w)
	w.claimer = newClaimer(w)
	w.leaderWanted = make(chan struct{}, 1)
	return w.patiently(ctx, w.control.load)
}

// startPatience is for how long a worker that starts repeats what the server has
// cut short.
const startPatience = 30 * time.Second

// patiently repeats a step of the start for as long as the server ends it for
// its statement_timeout: that it is busy now is no reason not to start.
func (w *Worker) patiently(ctx context.Context, step func(context.Context) error) error {
	giveUp := time.Now().Add(startPatience)
	for tries := 1; ; tries++ {
		err := step(ctx)
		if !store.CutShort(err) || ctx.Err() != nil || time.Now().After(giveUp) {
			return err
		}
		if tries == 1 {
			w.logger.Warn("the database is too busy to start; trying again", "for", startPatience, "error", err)
		}
	}
}

// deliveries makes the handler of deliveries, if this worker is to make any.
func (w *Worker) deliveries() func() (Handler, error) {
	if w.config.WebhookOff {
		return nil
	}
	return func() (handler Handler, err error) {
		w.deliverer, err = w.newDeliverer()
		return w.deliverer, err
	}
}

// abandonAfter is how long a cancelled handler may take to return before it is
// reported as stuck, and before a stopping worker stops without it.
const abandonAfter = 5 * time.Second

// drain ends what is running. The claimer has stopped.
func (w *Worker) drain(stopHandlers context.CancelCauseFunc) {
	w.lease.setDraining()
	for _, j := range w.pool.close() {
		w.finisher.giveBack(j)
	}
	idle := w.pool.idle()
	if !waitFor(idle, w.config.ShutdownTimeout) {
		w.logger.Warn("shutdown timeout is over; cancelling running tasks", "running", len(w.pool.running()))
		stopHandlers(ErrShutdown)
		if !waitFor(idle, w.abandonAfter) {
			for _, j := range w.pool.running() {
				w.logger.Error("handler ignored its cancelled context; its task is given back while it may still run",
					"task", j.ID, "type", j.route.definition.Name)
				w.finisher.giveBack(j)
			}
		}
	}
	w.finisher.close()
	w.progress.close()
	if w.deliverer != nil {
		w.deliverer.http.Close()
	}
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// wake says that a lane has new tasks.
func (w *Worker) wake(l lane) {
	if w.routes.works(l) {
		w.claimer.wake(l)
	}
}
