package workload

import (
	"fmt"
	"math/rand/v2"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/tasks"
)

// Shape is what the tasks of a workload are like. Its zero value is tasks of
// one type and priority in one queue, that do nothing.
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

// request is the i-th task. Equal seeds of random give equal workloads.
func (s Shape) request(types []*orchestrator.Definition, i int, random *rand.Rand) (orchestrator.Request, error) {
	r := orchestrator.Request{Definition: types[random.IntN(len(types))]}
	var err error
	r.Payload, err = tasks.BenchNoop.EncodePayload(tasks.BenchNoopPayload{UserID: int64(i) + 1, Template: "welcome"})
	if s.Groups > 0 {
		r.GroupKey = fmt.Sprintf("[%d]", i%s.Groups)
	}
	if s.Queues > 1 {
		r.Apply([]orchestrator.EnqueueOption{orchestrator.WithQueue(queueName(random.IntN(s.Queues)))})
	}
	if s.Priorities > 1 {
		r.Apply([]orchestrator.EnqueueOption{orchestrator.WithPriority(random.IntN(s.Priorities))})
	}
	return r, err
}
