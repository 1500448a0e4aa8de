package cases

import (
	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const groupedTasks = 100_000

// groups is the price of an order: of a group one task runs at a time, and the
// next one starts when it has durably ended.
func groups() lab.Case {
	all := variants{
		"ungrouped":        {tasks: groupedTasks},
		"10k groups":       {tasks: groupedTasks, shape: contest.Shape{Groups: 10_000}},
		"10 groups of 10k": {tasks: groupedTasks, shape: contest.Shape{Groups: 10}},
	}
	return lab.Case{
		Name:        "groups",
		Title:       "Drain 100,000 tasks of groups",
		Unit:        "tasks/s",
		Notes:       []string{"Tasks of one group run one at a time, in the order in which they were enqueued: of ten groups at most ten tasks run at any moment."},
		Contestants: []string{"ungrouped", "10k groups", "10 groups of 10k"},
		Targets: []lab.Target{
			{Contestant: "10k groups", Against: "ungrouped", AtLeast: .7},
			{Contestant: "10 groups of 10k", Against: "ungrouped", AtLeast: .1},
		},
		Round: all.round,
	}
}
