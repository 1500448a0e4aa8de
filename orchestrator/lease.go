package orchestrator

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// session is one lease of a worker: an id under which it claims, good until
// the lease is lost. A worker that loses it begins another with a new id.
type session struct {
	id     int64
	claims atomic.Int64
	// handlers is the parent of the contexts of everything that runs under
	// this session; lose cancels them with ErrLeaseLost.
	handlers context.Context
	lose     context.CancelCauseFunc
	gone     atomic.Bool // lose was called
	// good is until when the lease holds, as a reading of the monotonic clock
	// ([lease.clock]): counted from when the last good heartbeat was sent, not
	// from when it was answered.
	good atomic.Int64
}

// lost is not the same as having its handlers cancelled: a shutdown does that
// too, and what they were doing is still to be given back under this lease.
func (s *session) lost() bool { return s.gone.Load() }

// lease keeps the worker's session alive and replaces it when it is lost.
//
//	registered ──► heartbeats answered ──► (shutdown) deregistered
//	                 │
//	                 ├─ row gone: the leader has declared us dead
//	                 └─ no answer until the lease is nearly over
//	                        ▼
//	             handlers cancelled with ErrLeaseLost, new session
type lease struct {
	w        *Worker
	parent   context.Context // of all sessions' handlers
	current  atomic.Pointer[session]
	idle     atomic.Bool // as the workers table has it
	draining atomic.Bool
	began    time.Time
	conn     *pgx.Conn // reserved: a busy pool must not delay a heartbeat
}

func newLease(w *Worker) *lease { return &lease{w: w, began: time.Now()} }

// clock is the monotonic time since the lease began.
func (l *lease) clock() time.Duration { return time.Since(l.began) }

// safe is the part of the lease that is used; the rest is for a process that
// is slow to notice.
func (l *lease) safe() time.Duration { return l.w.config.WorkerTimeout * 9 / 10 }

// registerTimeout bounds the registration of a worker that starts.
const registerTimeout = 10 * time.Second

// start registers the first session. It does not end with ctx: a registration
// that is broken off may have happened, and would be shown as a worker until its
// lease is over.
func (l *lease) start(ctx, handlers context.Context) error {
	l.parent = handlers
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	return l.register(ctx)
}

func (l *lease) register(ctx context.Context) error {
	id, err := newWorkerID()
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // only for people to read
	sent := l.clock()
	if _, err := l.w.client.store.Register(ctx, store.Worker{
		ID: id, Lease: l.w.config.WorkerTimeout, Slots: l.w.pool.slotsNow(), PID: os.Getpid(), Host: host,
		Version: Version(), Queues: l.w.routes.names, Schedules: l.w.routes.schedules,
	}); err != nil {
		return err
	}
	s := &session{id: id}
	s.handlers, s.lose = context.WithCancelCause(l.parent)
	s.good.Store(int64(sent + l.safe()))
	l.idle.Store(true)
	l.current.Store(s)
	return nil
}

// holds tells whether s may still start handlers.
func (l *lease) holds(s *session) bool { return l.holdsAt(s, time.Now()) }

func (l *lease) holdsAt(s *session, at time.Time) bool {
	return !s.lost() && int64(at.Sub(l.began)) < s.good.Load()
}

// run sends heartbeats until ctx ends.
func (l *lease) run(ctx context.Context) {
	defer l.disconnect()
	interval := l.w.config.HeartbeatInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if l.beat(ctx) {
			timer.Reset(interval)
			continue
		}
		pause := min(interval, max(interval/5, 50*time.Millisecond))
		if left := time.Duration(l.current.Load().good.Load()) - l.clock(); left > 0 {
			pause = min(pause, left) // handlers have to be told before the lease is over
		}
		timer.Reset(pause)
	}
}

// beat renews the lease, or replaces it when it is lost. It returns false when
// it should be tried again soon.
func (l *lease) beat(ctx context.Context) bool {
	s := l.current.Load()
	sent := l.clock()
	left := time.Duration(s.good.Load()) - sent
	if s.lost() || left <= 0 {
		l.lose(s, "no heartbeat was answered in time")
		return l.renew(ctx, s)
	}
	// Half of what is left: when the connection is dead without a word, there
	// is time to try another.
	beatCtx, cancel := context.WithTimeout(ctx, left/2)
	defer cancel()
	alive, err := l.heartbeat(beatCtx, s)
	switch {
	case ctx.Err() != nil:
		return true
	case err != nil:
		l.w.logger.Warn("heartbeat failed; trying again", "worker", s.id, "lease_left", left.Round(time.Millisecond), "error", err)
		if l.clock() >= time.Duration(s.good.Load()) {
			l.lose(s, "no heartbeat was answered in time")
		}
		return false
	case !alive:
		l.lose(s, "the leader has declared this worker dead")
		return l.renew(ctx, s)
	}
	s.good.Store(int64(sent + l.safe()))
	return true
}

func (l *lease) heartbeat(ctx context.Context, s *session) (alive bool, err error) {
	if l.conn == nil || l.conn.IsClosed() {
		if l.conn, err = l.w.client.connect(ctx); err != nil {
			l.conn = nil
			return false, err
		}
	}
	return l.w.client.store.Heartbeat(ctx, l.conn, s.id, store.Vitals{
		Slots: l.w.pool.slotsNow(), Busy: l.w.pool.busy(), Held: l.w.pool.held(), Idle: l.idle.Load(), Draining: l.draining.Load(),
	})
}

// lose cancels everything that runs under s.
func (l *lease) lose(s *session, why string) {
	if s.lost() {
		return
	}
	l.w.logger.Error("lease lost; cancelling its tasks, which other workers will run", "worker", s.id, "why", why)
	s.gone.Store(true)
	s.lose(ErrLeaseLost)
	l.w.client.metrics.LeaseLost()
	l.w.pool.drop(s)
}

// renew begins a new session. The old row, if it is still there, goes: what
// was claimed under it is recovered without waiting for its lease to end.
func (l *lease) renew(ctx context.Context, old *session) bool {
	if l.draining.Load() {
		return true // nothing left to claim for
	}
	ctx, cancel := context.WithTimeout(ctx, max(l.safe()/2, time.Second))
	defer cancel()
	if err := l.w.client.store.Deregister(ctx, old.id); err != nil {
		l.w.logger.Warn("could not register anew; trying again", "error", err)
		return false
	}
	if err := l.register(ctx); err != nil {
		l.w.logger.Warn("could not register anew; trying again", "error", err)
		return false
	}
	l.w.logger.Info("worker registered anew", "worker", l.current.Load().id)
	return true
}

func (l *lease) setIdle(ctx context.Context, idle bool) {
	if l.idle.Swap(idle) == idle {
		return
	}
	if err := l.w.client.store.SetIdle(ctx, l.current.Load().id, idle); err != nil && ctx.Err() == nil {
		l.w.logger.Debug("idle flag not set; the next heartbeat carries it", "error", err)
	}
}

func (l *lease) setDraining() { l.draining.Store(true) }

// end gives the lease up. The worker holds nothing any more.
func (l *lease) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.w.client.store.Deregister(ctx, l.current.Load().id); err != nil {
		l.w.logger.Warn("worker not deregistered; its lease will run out", "error", err)
	}
}

func (l *lease) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // nothing is lost with it
}

// newWorkerID draws a random id, so that no two workers ever have the same.
func newWorkerID() (int64, error) {
	var b [8]byte
	if _, err := cryptorand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("orchestrator: draw a worker id: %w", err)
	}
	return int64(binary.BigEndian.Uint64(b[:]) >> 1), nil
}

// Version is the version of this module as the running program was built with
// it; "devel" when that is not known.
func Version() string {
	const path = "github.com/task-orchestrator/task-orchestrator"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	version := ""
	if info.Main.Path == path {
		version = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			version = dep.Version
		}
	}
	if version == "" || version == "(devel)" {
		return "devel"
	}
	return version
}
