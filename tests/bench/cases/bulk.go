package cases

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const (
	bulkTasks = 100_000
	bulkBatch = 5_000
)

func bulk() lab.Case {
	return lab.Case{
		Name:  "bulk",
		Title: "Enqueue in batches of 5,000",
		Unit:  "tasks/s",
		Notes: []string{
			"100,000 tasks from one goroutine, each batch durable and with a handle a task before the next: EnqueueBenchNoopMany,",
			"River's InsertMany, graphile-worker's addJobs.",
		},
		Contestants: []string{contest.Engine, contest.RiverTuned, contest.Graphile},
		Targets:     []lab.Target{{Contestant: contest.Engine, Against: contest.RiverTuned, AtLeast: 3}},
		Present:     contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (lab.Measure, error) {
			m, _, err := enqueue(ctx, l, name, "bulk", contest.Spec{Tasks: l.Tasks(bulkTasks), Batch: bulkBatch})
			return m, err
		},
	}
}

// enqueue measures an enqueueing job in a fresh place.
func enqueue(ctx context.Context, l *lab.Lab, name, job string, spec contest.Spec) (m lab.Measure, result contest.Timed, err error) {
	c, err := contest.ByName(name)
	if err != nil {
		return m, result, err
	}
	err = c.In(ctx, l, func(p contest.Place) error {
		if err := p.Settle(ctx); err != nil {
			return err
		}
		spec.URL = p.URL()
		m.Observed, err = p.Observe(ctx, func() (err error) {
			m.Usage, err = c.Run(ctx, l, job, spec, &result)
			return err
		})
		m.Tasks, m.Value = result.Tasks, result.Rate()
		return err
	})
	return m, result, err
}
