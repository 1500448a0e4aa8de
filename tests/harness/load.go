package harness

import (
	"context"
	"sync"
	"testing"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Load is a number of callers who enqueue single tasks, one after another,
// whatever happens to the database meanwhile.
type Load struct {
	stop    context.CancelFunc
	callers sync.WaitGroup

	mu           sync.Mutex
	acknowledged []orchestrator.TaskID
	failed       int
}

// StartLoad starts the callers.
func StartLoad(t testing.TB, client *orchestrator.Client, callers int) *Load {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &Load{stop: stop}
	for range callers {
		l.callers.Go(func() {
			for ctx.Err() == nil {
				// Its own context: an enqueue that has begun is waited for.
				refs, err := client.Enqueue(context.WithoutCancel(ctx), Requests(Echo, 0, 1))
				l.mu.Lock()
				if err == nil {
					l.acknowledged = append(l.acknowledged, refs[0].ID())
				} else {
					l.failed++
				}
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

// Acknowledged is how many enqueues have succeeded so far.
func (l *Load) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// AwaitMore returns when n more enqueues have succeeded.
func (l *Load) AwaitMore(t testing.TB, n int) {
	t.Helper()
	goal := l.Acknowledged() + n
	Await(t, "enqueues that succeed", func() bool { return l.Acknowledged() >= goal })
}

// Stop ends the callers and returns the ids they were given, and how many
// enqueues failed, whose outcome is unknown.
func (l *Load) Stop() (acknowledged []orchestrator.TaskID, failed int) {
	l.stop()
	l.callers.Wait()
	return l.acknowledged, l.failed
}
