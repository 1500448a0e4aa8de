package cases

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// inTxConns is the size of everybody's pool when transactions are the caller's.
const inTxConns = 16

func inTxs() []lab.Case { return []lab.Case{inTx(1), inTx(8)} }

func inTx(goroutines int) lab.Case {
	return lab.Case{
		Name:  fmt.Sprintf("intx-%d", goroutines),
		Title: fmt.Sprintf("Enqueue in the caller's own transaction, goroutines: %d", goroutines),
		Unit:  "transactions/s",
		Notes: []string{
			"For 3 seconds a round: begin, enqueue one task, commit. The engine's client.InTx in a bun.Tx, so through database/sql; River's InsertTx in a pgx.Tx, its",
			fmt.Sprintf("own natural way. Pools of %d connections. The call is the enqueueing alone, without begin and commit.", inTxConns),
		},
		Contestants: []string{contest.Engine, contest.RiverTuned},
		Targets:     []lab.Target{{Contestant: contest.Engine, Against: contest.RiverTuned, AtLeast: 1}},
		Present:     contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (lab.Measure, error) {
			m, result, err := enqueue(ctx, l, name, "intx", contest.Spec{Goroutines: goroutines, For: l.For(enqueueFor), Conns: inTxConns})
			m.Figures = []lab.Figure{{Name: "call p50", Unit: "µs", Value: result.CallP50}}
			return m, err
		},
	}
}
