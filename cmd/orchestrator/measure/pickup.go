package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

const (
	pickupRate = 200 // tasks a second
	// pickupPatience is how long the last tasks may take to start.
	pickupPatience = 30 * time.Second
)

// pickup enqueues at a steady rate and measures how long it is from the call to
// the start of the handler. It enqueues through a client of its own, so that
// the worker learns of the tasks as it learns of another process's.
func (r *run) pickup(ctx context.Context) (_ Pickup, err error) {
	config := r.Client
	config.Schema = r.client.Schema()
	sender, err := orchestrator.Open(ctx, r.URL, config)
	if err != nil {
		return Pickup{}, err
	}
	defer func() { err = errors.Join(err, sender.Close()) }()
	p := &pickups{sender: sender, definition: definition("pickup", r.Slots), epoch: time.Now(), started: make(chan struct{}, 1)}
	mux := orchestrator.NewMux()
	mux.Handle(p.definition, orchestrator.HandlerFunc(p.handle))
	tasks := max(1, int(r.share(pickupShare).Seconds()*pickupRate))
	err = working(ctx, orchestrator.NewWorker(r.client, mux, r.workerConfig()), func(ctx context.Context) error {
		return p.measure(ctx, tasks)
	})
	if err != nil {
		return Pickup{}, err
	}
	return Pickup{Rate: pickupRate, Latency: latencyOf(p.took[1:])}, nil
}

// pickups is what the enqueuing side and the handler share.
type pickups struct {
	sender     *orchestrator.Client
	definition *orchestrator.Definition
	epoch      time.Time // of the times in payloads

	mu      sync.Mutex
	took    []time.Duration // of every task that has started
	started chan struct{}   // signalled when one has
}

// pickupPayload says when the enqueue was called, in nanoseconds since the epoch.
type pickupPayload struct {
	Called time.Duration `json:"called"`
}

func (p *pickups) handle(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
	at := time.Since(p.epoch)
	var sent pickupPayload
	if err := json.Unmarshal(task.Payload, &sent); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.took = append(p.took, at-sent.Called)
	p.mu.Unlock()
	select {
	case p.started <- struct{}{}:
	default:
	}
	return nil, nil
}

// measure sends a first task, which finds the worker on its way up and does not
// count, and then the others, each when its time has come, whether or not those
// before it are through.
func (p *pickups) measure(ctx context.Context, tasks int) error {
	if err := errors.Join(p.send(ctx), p.await(ctx, 1)); err != nil {
		return err
	}
	sending, sendCtx := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Second / pickupRate)
	defer tick.Stop()
	for range tasks {
		select {
		case <-tick.C:
			sending.Go(func() error { return p.send(sendCtx) })
		case <-sendCtx.Done():
			return errors.Join(sending.Wait(), ctx.Err())
		}
	}
	if err := sending.Wait(); err != nil {
		return err
	}
	return p.await(ctx, 1+tasks)
}

func (p *pickups) send(ctx context.Context) error {
	text, err := json.Marshal(pickupPayload{Called: time.Since(p.epoch)})
	if err != nil {
		return err
	}
	_, err = p.sender.Enqueue(ctx, []orchestrator.Request{{Definition: p.definition, Payload: text}})
	return err
}

// await waits until so many tasks have started.
func (p *pickups) await(ctx context.Context, tasks int) error {
	ctx, cancel := context.WithTimeout(ctx, pickupPatience)
	defer cancel()
	for {
		p.mu.Lock()
		n := len(p.took)
		p.mu.Unlock()
		if n >= tasks {
			return nil
		}
		select {
		case <-p.started:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d tasks have not started: %w", tasks-n, tasks, ctx.Err())
		}
	}
}
