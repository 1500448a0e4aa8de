package orchestrator

import (
	"context"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// depthMeter measures, for the whole cluster, how many tasks wait and how
// long. It belongs to the goroutine of the leader.
type depthMeter struct {
	w      *Worker
	nextAt time.Time
	// queues are those that were ever seen: one that is empty now has to be
	// said to be.
	queues map[string]bool
}

const (
	depthTimeout = 30 * time.Second
	// depthShare is the part of the leader's time that counting may take.
	depthShare = 20
)

func newDepthMeter(w *Worker) *depthMeter { return &depthMeter{w: w, queues: map[string]bool{}} }

// measure looks at the oldest tasks, and counts all when that is due: at every
// turn, unless counting has become slow.
func (m *depthMeter) measure(ctx context.Context) {
	if m.w.client.metrics == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	began := time.Now()
	if !began.Before(m.nextAt) {
		if err := m.count(ctx, began); err != nil {
			m.w.failedDuty(ctx, err)
		}
		m.nextAt = time.Now().Add(depthShare * time.Since(began))
	}
	ages, err := m.w.client.store.OldestReady(ctx)
	if err != nil {
		m.w.failedDuty(ctx, err)
		return
	}
	for queue := range ages {
		m.queues[queue] = true
	}
	for queue := range m.queues {
		m.w.client.metrics.OldestReady(queue, ages[queue])
	}
}

func (m *depthMeter) count(ctx context.Context, began time.Time) error {
	rows, err := m.w.client.store.Depth(ctx)
	if err != nil {
		return err
	}
	counted := map[string]store.QueueDepth{}
	for _, row := range rows {
		counted[row.Queue] = row
		m.queues[row.Queue] = true
	}
	depths := make([]telemetry.QueueDepth, 0, len(m.queues))
	for queue := range m.queues {
		row := counted[queue]
		depths = append(depths, telemetry.QueueDepth{Queue: queue, States: map[string]int64{
			string(Ready): row.Ready, string(Scheduled): row.Scheduled, string(Retrying): row.Retrying,
			string(Blocked): row.Blocked, string(Throttled): row.Throttled, string(Running): row.Running, string(Dead): row.Dead,
		}})
	}
	m.w.client.metrics.Depth(depths, time.Since(began))
	return nil
}
