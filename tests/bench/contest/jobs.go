package contest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// opener connects a contestant.
type opener func(ctx context.Context, spec Spec) (queue, error)

// jobs are what every queue can do, by name.
func jobs(open opener) map[string]lab.Job {
	return map[string]lab.Job{
		"prepare": job(open, func(ctx context.Context, q queue, _ Spec, _ *lab.Link) (Timed, error) { return Timed{}, q.prepare(ctx) }),
		"fill":    job(open, fill),
		"drain":   job(open, drain),
		"bulk":    job(open, bulk),
		"single":  job(open, single),
		"intx":    job(open, inTx),
		"serve":   job(open, serve),
		"send":    job(open, send),
		"load":    job(open, load),
		"work":    job(open, work),
		"idle":    job(open, idle),
	}
}

// job wraps a connection around what is done.
func job[R any](open opener, do func(ctx context.Context, q queue, spec Spec, link *lab.Link) (R, error)) lab.Job {
	return lab.JobOf(func(ctx context.Context, spec Spec, link *lab.Link) (_ R, err error) {
		q, err := open(ctx, spec)
		if err != nil {
			var none R
			return none, err
		}
		defer func() { err = errors.Join(err, q.close()) }()
		return do(ctx, q, spec, link)
	})
}

// timed measures what done tasks took.
func timed(do func() (done int, err error)) (Timed, error) {
	began := time.Now()
	done, err := do()
	return Timed{Tasks: done, Seconds: time.Since(began).Seconds()}, err
}

// working runs do beside a worker, and stops the worker when do returns. When
// the worker ends before, so does do's context.
func working(ctx context.Context, q queue, h handlers, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.ended = func() { cancel(errors.New("the worker has ended")) }
	stop, err := q.work(ctx, h)
	if err != nil {
		return err
	}
	err = do(ctx)
	return errors.Join(err, stop())
}

// fill enqueues the tasks of a drain; it is not measured.
func fill(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	return timed(func() (done int, err error) { return enqueueBatches(ctx, q, spec) })
}

// bulk measures batches, each durable and with its handles before the next.
func bulk(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	return timed(func() (done int, err error) { return enqueueBatches(ctx, q, spec) })
}

func enqueueBatches(ctx context.Context, q queue, spec Spec) (done int, err error) {
	for done < spec.Tasks {
		n := min(spec.Batch, spec.Tasks-done)
		handles, err := q.enqueueMany(ctx, n)
		if err != nil {
			return done, err
		}
		if handles != n {
			return done, fmt.Errorf("%d handles for a batch of %d", handles, n)
		}
		done += n
	}
	return done, nil
}

// drain measures from the start of a worker to the end of its stop. Where there
// are more tasks it runs some more.
func drain(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	var count atomic.Int64
	all := make(chan struct{})
	h := handlers{noop: func() {
		if count.Add(1) == int64(spec.Tasks) {
			close(all)
		}
	}}
	return timed(func() (int, error) {
		err := working(ctx, q, h, func(ctx context.Context) error {
			select {
			case <-all:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("%d of %d tasks run: %w", count.Load(), spec.Tasks, context.Cause(ctx))
			}
		})
		return int(count.Load()), err
	})
}

// single measures goroutines that enqueue one task after the other.
func single(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	if err := q.enqueueOne(ctx); err != nil { // connects and stores contracts
		return Timed{}, err
	}
	return timed(func() (int, error) {
		var total atomic.Int64
		err := eachUntil(spec, func() error {
			total.Add(1)
			return q.enqueueOne(ctx)
		})
		return int(total.Load()), err
	})
}

// eachUntil calls do in a loop in each of the goroutines, for as long as the
// spec says.
func eachUntil(spec Spec, do func() error) error {
	var group errgroup.Group
	end := time.Now().Add(spec.For)
	for range spec.Goroutines {
		group.Go(func() error {
			for time.Now().Before(end) {
				if err := do(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// inTx measures transactions of one task each.
func inTx(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	if _, err := q.enqueueInTx(ctx); err != nil {
		return Timed{}, err
	}
	var mu sync.Mutex
	var calls []time.Duration
	result, err := timed(func() (int, error) {
		err := eachUntil(spec, func() error {
			call, err := q.enqueueInTx(ctx)
			mu.Lock()
			calls = append(calls, call)
			mu.Unlock()
			return err
		})
		return len(calls), err
	})
	if err != nil {
		return result, err
	}
	slices.Sort(calls)
	result.CallP50 = float64(calls[len(calls)/2].Nanoseconds()) / 1e3
	return result, nil
}

// serve runs a worker until all probes have come, or it is stopped, and tells
// how long they took.
func serve(ctx context.Context, q queue, spec Spec, link *lab.Link) (result Latencies, err error) {
	var mu sync.Mutex
	var took []time.Duration
	var others atomic.Int64
	all := make(chan struct{})
	h := handlers{
		noop: func() { others.Add(1) },
		probe: func(sent time.Time) {
			d := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, d); len(took) == spec.Tasks {
				close(all)
			}
		},
	}
	err = working(ctx, q, h, func(ctx context.Context) error {
		if err := link.Ready(); err != nil {
			return err
		}
		select {
		case <-all:
			return nil
		case <-link.Stopped():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err != nil {
		return result, err
	}
	if len(took) != spec.Tasks {
		return result, fmt.Errorf("%d probes of %d came", len(took), spec.Tasks)
	}
	took = took[spec.Warmup:]
	slices.Sort(took)
	at := func(fraction float64) float64 {
		return float64(took[int(fraction*float64(len(took)-1))].Nanoseconds()) / 1e6
	}
	return Latencies{P50: at(.5), P99: at(.99), Max: at(1), Probes: len(took), Others: int(others.Load())}, nil
}

// send enqueues probes at a rate. Each has a goroutine of its own, so that one
// that waits does not put off the next.
func send(ctx context.Context, q queue, spec Spec, _ *lab.Link) (Timed, error) {
	return timed(func() (int, error) {
		var group errgroup.Group
		began := time.Now()
		for i := range spec.Tasks {
			due := began.Add(time.Duration(float64(i) / spec.Rate * float64(time.Second)))
			if err := until(ctx, due); err != nil {
				return i, errors.Join(err, group.Wait())
			}
			group.Go(func() error { return q.enqueueProbe(ctx) })
		}
		return spec.Tasks, group.Wait()
	})
}

func until(ctx context.Context, due time.Time) error {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// loadInterval is how often the load comes, so that it is no burst a second.
const loadInterval = 20 * time.Millisecond

// load enqueues no-op tasks at a rate, in batches, until it is stopped. A batch
// that takes longer than the interval is followed at once by a larger one.
func load(ctx context.Context, q queue, spec Spec, link *lab.Link) (Timed, error) {
	return timed(func() (done int, err error) {
		tick := time.NewTicker(loadInterval)
		defer tick.Stop()
		for began := time.Now(); ; {
			if n := int(time.Since(began).Seconds()*spec.Rate) - done; n > 0 {
				if _, err := q.enqueueMany(ctx, n); err != nil {
					return done, err
				}
				done += n
			}
			if err := link.Ready(); err != nil {
				return done, err
			}
			select {
			case <-tick.C:
			case <-link.Stopped():
				return done, nil
			case <-ctx.Done():
				return done, context.Cause(ctx)
			}
		}
	})
}
