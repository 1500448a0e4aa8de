package contest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/tasks"
)

// Shape is what the tasks of [Shaped] are like. Its zero value is tasks of one
// type and priority in one queue, that do nothing.
type Shape struct {
	// Types, Queues and Priorities are how many there are of each, over which
	// the tasks are spread at random; 0 is one.
	Types      int `json:"types"`
	Queues     int `json:"queues"`
	Priorities int `json:"priorities"`
	// Groups is over how many groups the tasks go in turn; 0 is ungrouped.
	Groups int `json:"groups"`
	// Sleeps makes each task sleep for 1 to 10 ms.
	Sleeps bool `json:"sleeps"`
}

// Shaped is the engine with tasks of a [Shape], for cases without a peer. Their
// types are copies of the generated bench:noop, so payloads are validated and
// decoded by generated code.
func Shaped() Contestant {
	c := engine()
	c.Name = "shaped"
	c.jobs = jobs(openShaped)
	return c
}

// shapedQueue enqueues batches, each going on where the one before ended, and
// works them. It has no single tasks and no probes of its own.
type shapedQueue struct {
	*engineQueue
	shape  Shape
	types  []*orchestrator.Definition
	random *rand.Rand
	done   int
}

func openShaped(ctx context.Context, spec Spec) (queue, error) {
	q, err := connectEngine(ctx, spec)
	if err != nil {
		return nil, err
	}
	q.config.Queues = spec.Shape.queueNames()
	return &shapedQueue{
		engineQueue: q, shape: spec.Shape, types: spec.Shape.definitions(q.config.PoolSize),
		random: rand.New(rand.NewPCG(1, 2)), // equal seeds give equal tasks
	}, nil
}

// definitions are the task types. In one process they are made once: the
// client knows contracts by the definition's address.
func (s Shape) definitions(pool int) []*orchestrator.Definition {
	all := make([]*orchestrator.Definition, max(1, s.Types))
	for i := range all {
		d := *tasks.BenchNoop.Definition
		d.Name = fmt.Sprintf("bench:shape_%d", i)
		d.Queue = &orchestrator.Queue{Name: queueName(0), PerWorker: pool}
		if s.Groups > 0 {
			d.Group = []string{"user_id"}
		}
		all[i] = &d
	}
	return all
}

func queueName(i int) string { return fmt.Sprintf("shape_%d", i) }

// queueNames are the queues that a worker has to work.
func (s Shape) queueNames() []string {
	names := make([]string, max(1, s.Queues))
	for i := range names {
		names[i] = queueName(i)
	}
	return names
}

func (q *shapedQueue) enqueueMany(ctx context.Context, n int) (int, error) {
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		var err error
		if batch[i], err = q.request(q.done + i); err != nil {
			return 0, err
		}
	}
	refs, err := q.client.Enqueue(ctx, batch)
	q.done += len(refs)
	return len(refs), err
}

// request is the i-th task.
func (q *shapedQueue) request(i int) (orchestrator.Request, error) {
	r := orchestrator.Request{Definition: q.types[q.random.IntN(len(q.types))]}
	var err error
	r.Payload, err = tasks.BenchNoop.EncodePayload(tasks.BenchNoopPayload{UserID: userID(i), Template: template})
	if q.shape.Groups > 0 {
		r.GroupKey = fmt.Sprintf("[%d]", i%q.shape.Groups)
	}
	if q.shape.Queues > 1 {
		r.Apply([]orchestrator.EnqueueOption{orchestrator.WithQueue(queueName(q.random.IntN(q.shape.Queues)))})
	}
	if q.shape.Priorities > 1 {
		r.Apply([]orchestrator.EnqueueOption{orchestrator.WithPriority(q.random.IntN(q.shape.Priorities))})
	}
	return r, err
}

func (q *shapedQueue) work(ctx context.Context, h handlers) (stop func() error, err error) {
	mux := orchestrator.NewMux()
	for _, d := range q.types {
		mux.Handle(d, orchestrator.HandlerFunc(func(_ context.Context, t *orchestrator.Raw) ([]byte, error) {
			p, err := tasks.BenchNoop.DecodePayload(t.Payload)
			if err != nil {
				return nil, err
			}
			if q.shape.Sleeps {
				sleepFor(p.UserID)
			}
			h.noop()
			return nil, nil
		}))
	}
	return q.start(ctx, mux, h.ended), nil
}

// sleepFor sleeps for 1 to 10 ms, by the number of the task.
func sleepFor(number int64) { <-time.After(time.Duration(1+number%10) * time.Millisecond) }
