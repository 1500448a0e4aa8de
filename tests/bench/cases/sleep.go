package cases

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/workload"
)

const (
	sleepTasks = 100_000
	sleepPool  = 100
)

const plainPool = "plain Go pool"

// sleep is tasks that take a little: whether the queue keeps all slots busy.
func sleep() lab.Case {
	all := variants{"orchestrator": {tasks: sleepTasks, pool: sleepPool, shape: workload.Shape{Sleeps: true}}}
	return lab.Case{
		Name:  "sleep",
		Title: "Tasks that sleep for 1 to 10 ms, 100 at a time",
		Unit:  "tasks/s",
		Notes: []string{
			"100,000 tasks. The plain pool is 100 goroutines that take the same sleeps from a channel, without a database: what no queue exceeds.",
		},
		Contestants: []string{plainPool, "orchestrator"},
		Targets:     []lab.Target{{Contestant: "orchestrator", Against: plainPool, AtLeast: .95}},
		Round: func(ctx context.Context, l *lab.Lab, name string) (m lab.Measure, err error) {
			if name != plainPool {
				return all.round(ctx, l, name)
			}
			var result contest.Timed
			spec := workload.Spec{Pool: sleepPool, Tasks: l.Tasks(sleepTasks)}
			m.Usage, err = l.Run(ctx, lab.Command{}, workload.Name, "plain", spec, &result)
			m.Tasks, m.Value = result.Tasks, result.Rate()
			return m, err
		},
	}
}
