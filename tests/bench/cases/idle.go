package cases

import (
	"context"
	"errors"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const (
	idleWorkers = 10
	idleRest    = 3 * time.Second  // until an idle worker has come to rest
	idleWindow  = 30 * time.Second // for which it is watched
)

// The figures of the case.
const (
	workerCPU = "CPU of a worker"
	serverCPU = "CPU of the server"
)

// idle is what workers cost that have nothing to do, which is what most do for
// most of the time.
func idle() lab.Case {
	const name = "10 idle workers"
	return lab.Case{
		Name:  "idle",
		Title: "Ten worker processes with nothing to do",
		Unit:  "queries/s",
		Notes: []string{
			"For 30 s, with all defaults, heartbeats and the leader's work included. Queries are transactions of all workers together; the CPU of a",
			"worker is that of the one that took most, in percent of a core.",
		},
		Contestants: []string{name},
		Targets:     []lab.Target{{Contestant: name, Figure: workerCPU, AtMost: 1}},
		Rounds:      1,
		Round: func(ctx context.Context, l *lab.Lab, _ string) (m lab.Measure, err error) {
			db, err := fresh(ctx, l)
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, db.Drop()) }()
			spec := contest.Spec{URL: db.URL(), Defaults: true, Rest: scaled(l, idleRest), For: scaled(l, idleWindow)}
			children, err := startAll(ctx, l, "idle", spec, idleWorkers)
			if err == nil {
				m.Observed, err = db.Watch(ctx, spec.For)
			}
			most := time.Duration(0)
			for _, child := range children {
				child.Stop()
			}
			for _, child := range children {
				var result contest.Idle
				usage, failed := child.Wait(&result)
				m.Usage, err = m.Add(usage), errors.Join(err, failed)
				most = max(most, result.CPU)
			}
			percent := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / spec.For.Seconds() }
			m.Value = float64(m.Transactions) / spec.For.Seconds()
			m.Figures = []lab.Figure{
				{Name: workerCPU, Unit: "%", Value: percent(most)},
				{Name: serverCPU, Unit: "%", Value: percent(m.ServerCPU)},
			}
			return m, err
		},
	}
}

// scaled is a duration of a case, at least long enough to see something.
func scaled(l *lab.Lab, d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*min(1, l.Scale())), 100*time.Millisecond)
}
