package cases

import (
	"slices"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
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
