package measure

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// batchSize is how many tasks one enqueue in batches brings.
const batchSize = 1000

// bulk enqueues batches of the tasks that drain works.
func (r *run) bulk(ctx context.Context) (Bulk, error) {
	d := definition("drain", r.Slots)
	batch := make([]orchestrator.Request, min(batchSize, r.Tasks))
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: d, Payload: []byte(payload)}
	}
	b := Bulk{Batch: len(batch)}
	var took []time.Duration
	limit, start := r.share(bulkShare), time.Now()
	for b.Tasks < r.Tasks && (b.Tasks == 0 || time.Since(start) < limit) {
		part := batch[:min(len(batch), r.Tasks-b.Tasks)]
		before := time.Now()
		if _, err := r.client.Enqueue(ctx, part); err != nil {
			return b, err
		}
		took = append(took, time.Since(before))
		b.Tasks += len(part)
	}
	b.Rate, b.Latency = rateOf(b.Tasks, time.Since(start)), latencyOf(took)
	return b, nil
}

// enqueue lets more and more goroutines enqueue one task after the other, each
// durable when the call returns.
func (r *run) enqueue(ctx context.Context) (all []Enqueue, err error) {
	d := definition("enqueue", 1)
	for _, n := range goroutines {
		one, err := r.enqueueFrom(ctx, d, n)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (r *run) enqueueFrom(ctx context.Context, d *orchestrator.Definition, n int) (Enqueue, error) {
	var (
		mu   sync.Mutex
		took []time.Duration
	)
	limit := r.share(enqueueShare)
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range n {
		group.Go(func() error {
			var mine []time.Duration
			for len(mine) == 0 || time.Since(start) < limit {
				before := time.Now()
				if _, err := r.client.Enqueue(ctx, []orchestrator.Request{{Definition: d, Payload: []byte(payload)}}); err != nil {
					return err
				}
				mine = append(mine, time.Since(before))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Enqueue{}, err
	}
	return Enqueue{Goroutines: n, Tasks: len(took), Rate: rateOf(len(took), time.Since(start)), Latency: latencyOf(took)}, nil
}
