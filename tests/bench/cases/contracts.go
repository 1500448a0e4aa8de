package cases

import (
	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// contracts is a worker of a large spec.
func contracts() lab.Case {
	all := variants{
		"one contract":  {tasks: mixedTasks},
		"700 contracts": {tasks: mixedTasks, shape: contest.Shape{Types: 700}},
	}
	return lab.Case{
		Name:        "contracts",
		Title:       "Drain tasks of 700 contracts",
		Unit:        "tasks/s",
		Notes:       []string{"200,000 tasks of one queue, each of one of 700 types at random, and a worker that handles all of them; against one type."},
		Contestants: []string{"one contract", "700 contracts"},
		Targets:     []lab.Target{{Contestant: "700 contracts", Against: "one contract", AtLeast: .85}},
		Round:       all.round,
	}
}
