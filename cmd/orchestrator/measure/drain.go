package measure

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// drain lets one worker work tasks that do nothing, until all are done or the
// time is up. The clock stops when the worker has ended: then the outcomes of
// all that it worked are durable.
func (r *run) drain(ctx context.Context, tasks int) (Drain, error) {
	var done atomic.Int64
	all := make(chan struct{})
	mux := orchestrator.NewMux()
	mux.Handle(definition("drain", r.Slots), orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
		if done.Add(1) == int64(tasks) {
			close(all)
		}
		return nil, nil
	}))
	up := time.NewTimer(r.share(drainShare))
	defer up.Stop()
	start := time.Now()
	err := working(ctx, orchestrator.NewWorker(r.client, mux, r.workerConfig()), func(ctx context.Context) error {
		select {
		case <-all:
		case <-up.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	})
	if err != nil {
		return Drain{}, err
	}
	worked := int(done.Load())
	return Drain{Slots: r.Slots, Tasks: worked, Rate: rateOf(worked, time.Since(start))}, nil
}

func (r *run) workerConfig() orchestrator.WorkerConfig {
	return orchestrator.WorkerConfig{PollOnly: r.Client.TransactionPooler}
}
