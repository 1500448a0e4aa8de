package orchestrator

import (
	"context"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// cancelRequested cancels those of a session's tasks that somebody wants
// cancelled. A request comes again until its task has ended.
func (w *Worker) cancelRequested(s *session, requests []store.CancelRequest) {
	if len(requests) == 0 {
		return
	}
	for _, j := range w.pool.cancel(s, requests) {
		w.cancelUnstarted(j)
	}
}

// cancelUnstarted ends a task that was claimed and did not begin.
func (w *Worker) cancelUnstarted(j *job) {
	request := w.pool.request(j)
	(&attempt{job: j}).log().Info("task cancelled before it started", "reason", request.Reason)
	_, span := w.client.tracing.Process(context.Background(), j.trace(j.waitedSoFar()))
	w.client.tracing.EndProcess(span, telemetry.Cancelled, string(CodeCancelled), nil, nil)
	j.metrics.Outcome(telemetry.Cancelled)
	w.finisher.add(cancelledBy(request, j, j.Attempts))
}

// cancelledBy is the end of a task after so many attempts.
func cancelledBy(request *store.CancelRequest, j *job, attempts int16) outcome {
	text := errorJSON(attemptError{Attempt: int(attempts), Code: string(CodeCancelled), Message: request.Reason})
	return outcome{job: j, finished: &store.Finished{Fence: j.fence(), State: store.StateCancelled, Attempts: attempts,
		Kept: j.route.definition.retention(), Error: text}}
}

// cancel cancels the contexts of running jobs, once, and returns the jobs that
// have not started, which it takes out of the buffer.
func (p *pool) cancel(s *session, requests []store.CancelRequest) (unstarted []*job) {
	byID := make(map[int64]*store.CancelRequest, len(requests))
	for i := range requests {
		byID[requests[i].ID] = &requests[i]
	}
	p.mu.Lock()
	for _, j := range p.active {
		request := byID[j.ID]
		if request == nil || j.requested != nil || j.session != s {
			continue
		}
		j.requested = request
		j.attempt.context.cancel(fmt.Errorf("%w: %s", ErrCancelled, request.Reason))
	}
	p.mu.Unlock()
	return p.unbuffer(func(j *job) bool {
		if j.session == s {
			j.requested = byID[j.ID]
		}
		return j.requested != nil
	})
}

// request is the request to cancel j, or nil.
func (p *pool) request(j *job) *store.CancelRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return j.requested
}

// watch tells of handlers that go on though their contexts have ended: they
// keep a slot, and nobody can take it from them.
func (w *Worker) watch() {
	for _, j := range w.pool.newlyStuck(time.Now()) {
		(&attempt{job: j}).log().Error("handler ignores its cancelled context and keeps its slot",
			"cause", context.Cause(&j.attempt.context), "cancelled_for", (time.Since(j.claimed) - j.ended).Round(time.Millisecond),
			"running_for", time.Since(j.claimed).Round(time.Millisecond))
	}
}

// newlyStuck returns the running jobs whose contexts ended abandonAfter ago,
// each once.
func (p *pool) newlyStuck(at time.Time) (stuck []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.active {
		now := at.Sub(j.claimed)
		switch {
		case j.stuck || !j.attempt.context.hasEnded():
		case j.ended == 0:
			j.ended = now
		case now-j.ended >= p.w.abandonAfter:
			j.stuck = true
			p.w.client.metrics.Stuck(1)
			stuck = append(stuck, j)
		}
	}
	return stuck
}

// returned notes that j's handler has returned. The caller holds mu.
func (p *pool) returned(j *job) {
	if j.stuck {
		p.w.client.metrics.Stuck(-1)
		(&attempt{job: j}).log().Warn("handler that ignored its cancelled context has returned")
	}
}
