package cases

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const (
	probeRate   = 200 // a second
	probeFor    = 10 * time.Second
	probeWarmup = 2 * time.Second
	// probesBound is how long a round may take until all probes have run.
	probesBound = 3 * time.Minute
)

func pickup() lab.Case {
	return lab.Case{
		Name:  "pickup",
		Title: "From enqueue to the start of the handler, 200 tasks a second",
		Unit:  "ms, p50",
		Notes: []string{
			"For 10 seconds a round, after 2 that do not count. One process enqueues, another works; from before the enqueue call, its commit included, to the",
			"first line of the handler, by the machine's clock. The engine's worker has its defaults.",
		},
		Contestants: []string{contest.Engine, contest.RiverTuned, contest.River},
		Targets: []lab.Target{
			{Contestant: contest.Engine, Against: contest.RiverTuned, AtMost: 1},
			{Contestant: contest.Engine, Against: contest.RiverTuned, Figure: "p99", AtMost: 1},
		},
		Present: contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (lab.Measure, error) {
			return probe(ctx, l, name, 0)
		},
	}
}

// calibrationTasks are drained to find out what half the maximum is.
const calibrationTasks = 60_000

func pickupUnderLoad() lab.Case {
	var once sync.Once
	var half float64
	var failed error
	return lab.Case{
		Name:  "pickup-load",
		Title: "The same under a load of half the maximum",
		Unit:  "ms, p50",
		Notes: []string{
			fmt.Sprintf("The load is the same for all: half of what river tuned drains, measured before the first round with %d tasks. A third process enqueues it as no-op", calibrationTasks),
			"tasks of the same queue and priority, every 20 ms one batch. What it managed to enqueue, and what the worker ran of it, are columns: who falls",
			"behind lets the probes wait behind the load.",
		},
		Contestants: []string{contest.Engine, contest.RiverTuned},
		Targets:     []lab.Target{{Contestant: contest.Engine, Against: contest.RiverTuned, Figure: "p99", AtMost: .5}},
		Present:     contest.Present,
		Round: func(ctx context.Context, l *lab.Lab, name string) (lab.Measure, error) {
			once.Do(func() {
				var m lab.Measure
				m, failed = drainFresh(ctx, l, contest.RiverTuned, l.Tasks(calibrationTasks))
				half = m.Value / 2
			})
			if failed != nil {
				return lab.Measure{}, failed
			}
			return probe(ctx, l, name, half)
		},
	}
}

// probe measures the pick-up in a fresh place, under a load of so many no-op
// tasks a second.
func probe(ctx context.Context, l *lab.Lab, name string, load float64) (m lab.Measure, err error) {
	c, err := contest.ByName(name)
	if err != nil {
		return m, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probesBound, fmt.Errorf("not all probes ran within %s", probesBound))
	defer cancel()
	warmup := max(1, int(l.For(probeWarmup).Seconds()*probeRate))
	spec := contest.Spec{
		// The engine is compared by its defaults; contestants know their own.
		Defaults: name == contest.Engine,
		Tasks:    warmup + max(1, int(l.For(probeFor).Seconds()*probeRate)), Warmup: warmup, Rate: probeRate,
	}
	err = c.In(ctx, l, func(p contest.Place) error {
		if err := p.Settle(ctx); err != nil {
			return err
		}
		spec.URL = p.URL()
		m.Observed, err = p.Observe(ctx, func() (err error) {
			m, err = probeIn(ctx, l, c, spec, load)
			return err
		})
		return err
	})
	return m, err
}

// probeIn runs worker, load and prober, each in a process of its own.
func probeIn(ctx context.Context, l *lab.Lab, c contest.Contestant, spec contest.Spec, rate float64) (m lab.Measure, err error) {
	worker, err := c.Start(ctx, l, "serve", spec)
	if err != nil {
		return m, err
	}
	var took contest.Latencies
	var loaded contest.Timed
	err = worker.Ready(ctx)
	if err == nil {
		loaded, m.Usage, err = probeBeside(ctx, l, c, spec, rate)
	}
	if err != nil {
		worker.Stop()
	}
	usage, failed := worker.Wait(&took)
	if err := errors.Join(err, failed); err != nil {
		return m, err
	}
	m.Usage = usage.Add(m.Usage)
	m.Value, m.Tasks = took.P50, spec.Tasks+took.Others
	m.Figures = []lab.Figure{{Name: "p99", Unit: "ms", Value: took.P99}, {Name: "most", Unit: "ms", Value: took.Max}}
	if rate > 0 {
		m.Figures = append(m.Figures,
			lab.Figure{Name: "load wanted", Unit: "tasks/s", Value: rate},
			lab.Figure{Name: "enqueued", Unit: "tasks/s", Value: loaded.Rate()},
			lab.Figure{Name: "run meanwhile", Unit: "tasks/s", Value: float64(took.Others) / loaded.Seconds})
	}
	return m, nil
}

// probeBeside sends the probes while a load comes, if there is to be one.
func probeBeside(ctx context.Context, l *lab.Lab, c contest.Contestant, spec contest.Spec, rate float64) (loaded contest.Timed, usage lab.Usage, err error) {
	if rate == 0 {
		usage, err = c.Run(ctx, l, "send", spec, nil)
		return loaded, usage, err
	}
	loadSpec := spec
	loadSpec.Rate = rate
	load, err := c.Start(ctx, l, "load", loadSpec)
	if err != nil {
		return loaded, usage, err
	}
	if err = load.Ready(ctx); err == nil {
		usage, err = c.Run(ctx, l, "send", spec, nil)
	}
	load.Stop()
	more, failed := load.Wait(&loaded)
	return loaded, usage.Add(more), errors.Join(err, failed)
}
