package cases

import (
	"slices"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/workload"
)

// All are the cases, in the order of the report: with peers first, then of the
// engine alone.
func All() []lab.Case {
	return slices.Concat(
		[]lab.Case{drain(), bulk()},
		singles(),
		inTxs(),
		[]lab.Case{
			pickup(),
			pickupUnderLoad(),
			pinned(),
			behind(),
			mixed(),
			sleep(),
			groups(),
			contracts(),
			processes(),
			idle(),
			soak(),
		},
	)
}

// Jobs are those of contestants that only cases of this package know: by
// contestant, then by name.
func Jobs() map[string]map[string]lab.Job {
	return map[string]map[string]lab.Job{workload.Name: workload.Jobs()}
}
