package cases

import (
	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// mixedTasks is how many are drained where they are of many kinds.
const mixedTasks = 200_000

// mixed is a large team's database: many lanes with something in each.
func mixed() lab.Case {
	all := variants{
		"one queue":  {tasks: mixedTasks},
		"100 queues": {tasks: mixedTasks, shape: contest.Shape{Queues: 100, Types: 50, Priorities: 5}},
	}
	return lab.Case{
		Name:        "mixed",
		Title:       "Drain 100 queues with 50 task types and 5 priorities",
		Unit:        "tasks/s",
		Notes:       []string{"200,000 tasks, each of a queue, type and priority at random, against as many of one queue, type and priority. One worker."},
		Contestants: []string{"one queue", "100 queues"},
		Targets:     []lab.Target{{Contestant: "100 queues", Against: "one queue", AtLeast: .7}},
		Round:       all.round,
	}
}
