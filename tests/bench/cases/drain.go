package cases

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// drainTasks is how many tasks a drain has.
const drainTasks = 400_000

// fewerTasks are for those that would take minutes otherwise, or whose rate
// does not depend on how many there are.
var fewerTasks = map[string]int{contest.River: 10_000, contest.Asynq: 50_000}

func drain() lab.Case {
	return lab.Case{
		Name:  "drain",
		Title: "Drain 400,000 no-op tasks, one worker process",
		Unit:  "tasks/s",
		Notes: []string{
			"From the start of a connected worker to the return of its stop, when all completions are durable. The database is filled once and copied for each",
			"round, its tables are vacuumed and a checkpoint is written before; after it, no task is left and, where history is kept, all of them are in it.",
			fmt.Sprintf("River with its defaults fetches 100 tasks at a time, ten times a second, so it drains %d only; Asynq is not durable, and drains %d.",
				fewerTasks[contest.River], fewerTasks[contest.Asynq]),
		},
		Contestants: []string{contest.Engine, contest.RiverTuned, contest.River, contest.Graphile, contest.Asynq, contest.Bare},
		Targets: []lab.Target{
			{Contestant: contest.Engine, Against: contest.RiverTuned, AtLeast: 3},
			{Contestant: contest.Engine, Against: contest.Graphile, AtLeast: 2},
			{Contestant: contest.Engine, Against: contest.Bare, AtLeast: .8},
		},
		Present: contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (m lab.Measure, err error) {
			tasks := drainTasks
			if fewer, has := fewerTasks[name]; has {
				tasks = fewer
			}
			return drainFresh(ctx, l, name, l.Tasks(tasks))
		},
	}
}

// drainFresh measures the drain of a fresh place.
func drainFresh(ctx context.Context, l *lab.Lab, name string, tasks int) (m lab.Measure, err error) {
	c, err := contest.ByName(name)
	if err != nil {
		return m, err
	}
	err = c.Filled(ctx, l, tasks, func(p contest.Place) (err error) {
		m, err = c.Drain(ctx, l, p, tasks)
		return err
	})
	return m, err
}
