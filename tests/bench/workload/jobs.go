package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/tasks"
)

// Name is that of the contestant whose jobs these are.
const Name = "workload"

// Spec is what a job is told.
type Spec struct {
	URL   string `json:"url"`
	Shape Shape  `json:"shape"`
	Pool  int    `json:"pool"` // how many tasks run at a time
	Tasks int    `json:"tasks"`
	// Rate is how many tasks to enqueue in a second.
	Rate float64 `json:"rate"`
	// Every is how often the worker notes its memory, For how long an idle one
	// is watched; in nanoseconds.
	Every time.Duration `json:"every"`
	For   time.Duration `json:"for"`
}

// Jobs are the engine's, and the plain pool it is compared with.
func Jobs() map[string]lab.Job {
	return map[string]lab.Job{
		"prepare": lab.JobOf(prepare),
		"fill":    lab.JobOf(fill),
		"load":    lab.JobOf(load),
		"drain":   lab.JobOf(drain),
		"plain":   lab.JobOf(plain),
		"work":    lab.JobOf(work),
		"idle":    lab.JobOf(idle),
	}
}

// connected runs do with a client, which has all that the engine observes
// itself by.
func connected(ctx context.Context, spec Spec, do func(*orchestrator.Client) error) (err error) {
	client, err := contest.OpenClient(ctx, spec.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return do(client)
}

func prepare(ctx context.Context, spec Spec, _ *lab.Link) (none contest.Timed, err error) {
	return none, connected(ctx, spec, func(client *orchestrator.Client) error {
		_, err := client.Migrator().Up(ctx)
		return err
	})
}

// fillBatch is how many tasks a fill enqueues at a time.
const fillBatch = 5000

// filler enqueues tasks of a shape, each batch going on where the one before
// ended.
type filler struct {
	client *orchestrator.Client
	shape  Shape
	types  []*orchestrator.Definition
	random *rand.Rand
	done   int
}

func newFiller(client *orchestrator.Client, spec Spec) *filler {
	return &filler{client: client, shape: spec.Shape, types: spec.Shape.definitions(spec.Pool), random: rand.New(rand.NewPCG(1, 2))}
}

func (f *filler) enqueue(ctx context.Context, n int) error {
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		var err error
		if batch[i], err = f.shape.request(f.types, f.done+i, f.random); err != nil {
			return err
		}
	}
	if _, err := f.client.Enqueue(ctx, batch); err != nil {
		return err
	}
	f.done += n
	return nil
}

func fill(ctx context.Context, spec Spec, _ *lab.Link) (result contest.Timed, err error) {
	began := time.Now()
	err = connected(ctx, spec, func(client *orchestrator.Client) error {
		f := newFiller(client, spec)
		for f.done < spec.Tasks {
			if err := f.enqueue(ctx, min(fillBatch, spec.Tasks-f.done)); err != nil {
				return err
			}
		}
		return nil
	})
	return contest.Timed{Tasks: spec.Tasks, Seconds: time.Since(began).Seconds()}, err
}

// loadInterval is how often the load comes, so that it is no burst a second.
const loadInterval = 20 * time.Millisecond

// load enqueues at a rate until it is stopped.
func load(ctx context.Context, spec Spec, link *lab.Link) (result contest.Timed, err error) {
	began := time.Now()
	err = connected(ctx, spec, func(client *orchestrator.Client) error {
		f := newFiller(client, spec)
		tick := time.NewTicker(loadInterval)
		defer tick.Stop()
		for {
			if n := int(time.Since(began).Seconds()*spec.Rate) - f.done; n > 0 {
				if err := f.enqueue(ctx, n); err != nil {
					return err
				}
			}
			result.Tasks = f.done
			select {
			case <-tick.C:
			case <-link.Stopped():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	result.Seconds = time.Since(began).Seconds()
	return result, err
}

// worker runs a worker of the shape beside do, and has it stopped when do
// returns. handled is called after every task.
func worker(ctx context.Context, client *orchestrator.Client, spec Spec, handled func(), do func(ctx context.Context) error) error {
	mux := orchestrator.NewMux()
	for _, d := range spec.Shape.definitions(spec.Pool) {
		mux.Handle(d, orchestrator.HandlerFunc(func(_ context.Context, t *orchestrator.Raw) ([]byte, error) {
			p, err := tasks.BenchNoop.DecodePayload(t.Payload)
			if err != nil {
				return nil, err
			}
			if spec.Shape.Sleeps {
				sleepFor(p.UserID)
			}
			handled()
			return nil, nil
		}))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		err := orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{PoolSize: spec.Pool, Queues: spec.Shape.queueNames()}).Run(ctx)
		cancel(errors.New("the worker has ended"))
		ended <- err
	}()
	err := do(ctx)
	cancel(nil)
	return errors.Join(err, <-ended)
}

// sleepFor sleeps for 1 to 10 ms, by the number of the task.
func sleepFor(number int64) { <-time.After(time.Duration(1+number%10) * time.Millisecond) }

// counter counts to a number.
type counter struct {
	n     atomic.Int64
	total int64
	all   chan struct{}
}

func newCounter(total int) *counter { return &counter{total: int64(total), all: make(chan struct{})} }

func (c *counter) add() {
	if c.n.Add(1) == c.total {
		close(c.all)
	}
}

// drain measures from the start of a worker to the end of its stop, when all
// completions are durable. Where there are more tasks it runs some more.
func drain(ctx context.Context, spec Spec, _ *lab.Link) (result contest.Timed, err error) {
	err = connected(ctx, spec, func(client *orchestrator.Client) error {
		c := newCounter(spec.Tasks)
		began := time.Now()
		err := worker(ctx, client, spec, c.add, func(ctx context.Context) error {
			select {
			case <-c.all:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("%d of %d tasks run: %w", c.n.Load(), spec.Tasks, context.Cause(ctx))
			}
		})
		result = contest.Timed{Tasks: int(c.n.Load()), Seconds: time.Since(began).Seconds()}
		return err
	})
	return result, err
}

// plain sleeps as the tasks do, in a pool of goroutines that take from a
// channel: what a queue cannot be faster than.
func plain(_ context.Context, spec Spec, _ *lab.Link) (contest.Timed, error) {
	numbers := make(chan int64)
	var pool sync.WaitGroup
	began := time.Now()
	for range spec.Pool {
		pool.Go(func() {
			for number := range numbers {
				sleepFor(number)
			}
		})
	}
	for i := range spec.Tasks {
		numbers <- int64(i) + 1
	}
	close(numbers)
	pool.Wait()
	return contest.Timed{Tasks: spec.Tasks, Seconds: time.Since(began).Seconds()}, nil
}

// Worked is what a worker did until it was stopped.
type Worked struct {
	Tasks int `json:"tasks"`
	// Memory is its resident memory in bytes, noted every so often; empty where
	// the system does not tell.
	Memory []int64 `json:"memory"`
}

// work runs a worker until it is stopped.
func work(ctx context.Context, spec Spec, link *lab.Link) (result Worked, err error) {
	var n atomic.Int64
	err = connected(ctx, spec, func(client *orchestrator.Client) error {
		return worker(ctx, client, spec, func() { n.Add(1) }, func(ctx context.Context) error {
			if err := link.Ready(); err != nil {
				return err
			}
			var tick <-chan time.Time
			if spec.Every > 0 {
				ticker := time.NewTicker(spec.Every)
				defer ticker.Stop()
				tick = ticker.C
			}
			for {
				select {
				case <-tick:
					if bytes, known := residentMemory(); known {
						result.Memory = append(result.Memory, bytes)
					}
				case <-link.Stopped():
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
	})
	result.Tasks = int(n.Load())
	return result, err
}
