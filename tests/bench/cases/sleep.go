package cases

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const (
	sleepTasks = 100_000
	sleepPool  = 100
)

// sleep is tasks that take a little: whether the queue keeps all slots busy.
func sleep() lab.Case {
	plain := contest.PlainPool()
	all := variants{"orchestrator": {tasks: sleepTasks, pool: sleepPool, shape: contest.Shape{Sleeps: true}}}
	return lab.Case{
		Name:  "sleep",
		Title: "Tasks that sleep for 1 to 10 ms, 100 at a time",
		Unit:  "tasks/s",
		Notes: []string{
			"100,000 tasks. The plain pool is 100 goroutines that take the same sleeps from a channel, without a database: what no queue exceeds.",
		},
		Contestants: []string{plain.Name, "orchestrator"},
		Targets:     []lab.Target{{Contestant: "orchestrator", Against: plain.Name, AtLeast: .95}},
		Round: func(ctx context.Context, l *lab.Lab, name string) (m lab.Measure, err error) {
			if name != plain.Name {
				return all.round(ctx, l, name)
			}
			var result contest.Timed
			m.Usage, err = plain.Run(ctx, l, "drain", contest.Spec{Pool: sleepPool, Tasks: l.Tasks(sleepTasks)}, &result)
			m.Tasks, m.Value = result.Tasks, result.Rate()
			return m, err
		},
	}
}
