package model

import (
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// WaitBounds are the buckets in which the engine counts how long tasks wait for
// their start: the only durations at which a share can be measured. A test in
// tests/monitoring compares them with what a worker exposes.
func WaitBounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{
		ms, 5 * ms, 10 * ms, 50 * ms, 100 * ms, 500 * ms,
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute,
		5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour,
	}
}

// MeasuredAt is the bound at which a promise to start within d is measured: d
// itself where it is a bound, otherwise the next longer one. A shorter one, or
// a guess between two, would count tasks as late that were in time. It is 0
// where there is no such bound.
func MeasuredAt(d time.Duration) time.Duration {
	for _, bound := range WaitBounds() {
		if bound >= d {
			return bound
		}
	}
	return 0
}

// slo turns service levels into plain data; nil without any.
func (r *resolver) slo(s spec.SLO) *SLO {
	if s.StartWithin.V > 0 && MeasuredAt(s.StartWithin.V) == 0 {
		bounds := WaitBounds()
		r.wrong(s.StartWithin.Node, "promise less, or give the task a ttl, after which it expires",
			"start_within %s cannot be measured: waits are counted up to %s",
			spec.FormatDuration(s.StartWithin.V), spec.FormatDuration(bounds[len(bounds)-1]))
	}
	if s.StartWithin.V == 0 && s.Succeed.V == 0 {
		return nil
	}
	return &SLO{StartWithin: s.StartWithin.V, Succeed: s.Succeed.V}
}

func shareOrNone(p spec.Percent) string {
	if p == 0 {
		return "none"
	}
	return p.String()
}
