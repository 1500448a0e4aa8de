package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// enqueueFor is how long single tasks are enqueued in a round.
const enqueueFor = 3 * time.Second

// singles are single enqueues from more and more goroutines, and what is to be
// reached against River with each.
func singles() (all []lab.Case) {
	for _, of := range []struct {
		goroutines int
		atLeast    float64
	}{{1, 1.5}, {8, 2}, {64, 8}, {256, 15}} {
		all = append(all, single(of.goroutines, of.atLeast))
	}
	return all
}

func single(goroutines int, atLeast float64) lab.Case {
	return lab.Case{
		Name:  fmt.Sprintf("enqueue-%d", goroutines),
		Title: fmt.Sprintf("Enqueue single tasks, goroutines: %d", goroutines),
		Unit:  "tasks/s",
		Notes: []string{
			"For 3 seconds a round; each call returns when its task is durable. EnqueueBenchNoop and River's Insert, both on one client without a worker.",
			"The engine's calls that wait at the same time share a statement and its commit; River commits each by itself, on the connections of its pool.",
		},
		Contestants: []string{contest.Engine, contest.RiverTuned},
		Targets:     []lab.Target{{Contestant: contest.Engine, Against: contest.RiverTuned, AtLeast: atLeast}},
		Present:     contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (lab.Measure, error) {
			m, _, err := enqueue(ctx, l, name, "single", contest.Spec{Goroutines: goroutines, For: l.For(enqueueFor)})
			return m, err
		},
	}
}
