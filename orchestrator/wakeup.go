package orchestrator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/groupcommit"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// lane is a queue, a sublane and a priority: tasks of one lane are claimed
// oldest first.
type lane store.LaneKey

// String is what travels in a notification.
func (l lane) String() string {
	if l.Sublane == "" {
		return fmt.Sprintf("%s %d", l.Queue, l.Priority)
	}
	return fmt.Sprintf("%s %d %s", l.Queue, l.Priority, l.Sublane)
}

// arrivingSublane is no lane that tasks are claimed from: it stands for the
// tasks of a queue that wait for their group's turn or for a slot. No task type
// has that name.
const arrivingSublane = "+"

func arrivingIn(queue string) lane { return lane{Queue: queue, Sublane: arrivingSublane} }

// parseLane reverses String. Names of queues and tasks have no spaces.
func parseLane(s string) (lane, bool) {
	queue, rest, ok := strings.Cut(s, " ")
	priority, sublane, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(priority, 10, 16)
	return lane{queue, sublane, int16(n)}, ok && err == nil
}

// lanesOf returns the lanes in which tasks may start at once.
func lanesOf(tasks []store.NewTask) map[lane]struct{} {
	lanes := map[lane]struct{}{}
	var last lane // mostly that of all; comparing is cheaper than a map
	for i := range tasks {
		t := &tasks[i]
		if !startsAtOnce(t) {
			continue
		}
		if l := laneOf(t); l != last {
			lanes[l], last = struct{}{}, l
		}
	}
	return lanes
}

func startsAtOnce(t *store.NewTask) bool { return t.Delay == 0 && t.RunAt == 0 }

// laneOf is where a task comes first.
func laneOf(t *store.NewTask) lane {
	if t.GroupKey != "" || t.LimitKey != "" {
		return arrivingIn(t.Queue)
	}
	return lane{t.Queue, t.Sublane, t.Priority}
}

// wakeups tells workers of new tasks: those of this process through a
// function call, the others by NOTIFY. It is a hint: a worker that misses it
// polls.
type wakeups struct {
	notify *groupcommit.Group[lane]
	// control tells workers to read their settings.
	control *groupcommit.Group[struct{}]
	closed  chan struct{}

	mu      sync.RWMutex
	workers map[*Worker]struct{}
}

// notifyTimeout bounds one NOTIFY; polling covers for one that fails.
const notifyTimeout = 5 * time.Second

// Where nobody is idle, tasks are not each worth a statement that finds it so
// again: the next statement waits for firstPause, and longer each time, up to
// longestSilence. For as long a worker that becomes idle looks by itself.
const longestSilence = 4 * firstPause

func newWakeups(c *Client) *wakeups {
	w := &wakeups{workers: map[*Worker]struct{}{}, closed: make(chan struct{})}
	silence := firstPause
	w.notify = groupcommit.New(func(lanes []lane) {
		ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
		defer cancel()
		asked := map[lane]bool{}
		anyone := false
		for _, l := range lanes {
			if asked[l] {
				continue
			}
			asked[l] = true
			told, err := c.store.Notify(ctx, l.String())
			if err != nil {
				c.logger.Debug("workers were not notified and will poll", "lane", l.String(), "error", err)
				return
			}
			anyone = anyone || told
		}
		if anyone {
			silence = firstPause
			return
		}
		waitFor(w.closed, silence)
		silence = min(2*silence, longestSilence)
	})
	w.control = groupcommit.New(func([]struct{}) {
		ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
		defer cancel()
		if err := c.store.NotifyControl(ctx); err != nil {
			c.logger.Debug("workers were not notified of a change and will poll", "error", err)
		}
	})
	return w
}

// changed is called when something has changed that workers read by
// themselves, but should know at once.
func (w *wakeups) changed() {
	w.mu.RLock()
	for worker := range w.workers {
		worker.control.wake()
	}
	w.mu.RUnlock()
	w.control.Add(struct{}{})
}

// enqueued is called after the tasks' commit, never in their transaction:
// NOTIFY would serialise the commits.
func (w *wakeups) enqueued(tasks []store.NewTask) {
	if len(tasks) > 1 {
		w.tell(lanesOf(tasks))
	} else if startsAtOnce(&tasks[0]) {
		w.tellOf(laneOf(&tasks[0]))
	}
}

// tell says that lanes have new tasks.
func (w *wakeups) tell(lanes map[lane]struct{}) {
	for l := range lanes {
		w.tellOf(l)
	}
}

func (w *wakeups) tellOf(l lane) {
	w.mu.RLock()
	for worker := range w.workers {
		worker.wake(l)
	}
	w.mu.RUnlock()
	w.notify.Add(l)
}

func (w *wakeups) add(worker *Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workers[worker] = struct{}{}
}

func (w *wakeups) remove(worker *Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.workers, worker)
}

func (w *wakeups) close() {
	close(w.closed)
	w.notify.Wait()
	w.control.Wait()
}
