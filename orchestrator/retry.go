package orchestrator

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// RetryPolicy says whether and when a failed attempt is followed by another.
// The zero value is the engine's default policy.
type RetryPolicy struct {
	MaxAttempts int           // counts the first; 0 is DefaultMaxAttempts, 1 is no retry
	Backoff     Backoff       // "" is exponential
	BaseDelay   time.Duration // of the first retry; 0 is DefaultBaseDelay
	MaxDelay    time.Duration // no delay is longer; 0 is DefaultMaxDelay
	Multiplier  float64       // of exponential backoff; 0 is 2
	Jitter      Jitter        // "" is full
	GiveUpOn    []Code        // codes that end the task whatever attempts are left
}

// The parts of a RetryPolicy that are not declared.
const (
	DefaultMaxAttempts = 5
	DefaultBaseDelay   = time.Second
	DefaultMaxDelay    = time.Hour
)

// Backoff says how delays grow from retry to retry.
type Backoff string

// How delays grow: base·multiplierⁿ, base·(n+1), or base for the n-th retry,
// counted from 0.
const (
	Exponential Backoff = "exponential"
	Linear      Backoff = "linear"
	Constant    Backoff = "constant"
)

// Jitter says how much of a delay is random, so that tasks which failed
// together do not come back together.
//
// Full and equal jitter are those of Marc Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog, 2015.
type Jitter string

// How much of a delay is random: all of it, its second half, nothing.
const (
	FullJitter  Jitter = "full"
	EqualJitter Jitter = "equal"
	NoJitter    Jitter = "none"
)

func (p *RetryPolicy) maxAttempts() int {
	if p.MaxAttempts <= 0 {
		return DefaultMaxAttempts
	}
	return p.MaxAttempts
}

func (p *RetryPolicy) givesUpOn(code Code) bool {
	return code != "" && slices.Contains(p.GiveUpOn, code)
}

// Delay is how long after attempt number attempt (1 for the first) the next
// one is due. The database adds it to its own clock.
func (p *RetryPolicy) Delay(attempt int) time.Duration {
	return p.delay(attempt, rand.Float64)
}

func (p *RetryPolicy) delay(attempt int, random func() float64) time.Duration {
	base, limit := p.BaseDelay, p.MaxDelay
	if base <= 0 {
		base = DefaultBaseDelay
	}
	if limit <= 0 {
		limit = DefaultMaxDelay
	}
	multiplier := p.Multiplier
	if multiplier <= 0 {
		multiplier = 2
	}
	retry := float64(max(attempt, 1) - 1)
	d := float64(base)
	switch p.Backoff {
	case Constant:
	case Linear:
		d *= retry + 1
	default:
		d *= math.Pow(multiplier, retry) // may be +Inf, which min turns into the limit
	}
	d = min(d, float64(limit))
	switch p.Jitter {
	case NoJitter:
	case EqualJitter:
		d = d/2 + d/2*random()
	default:
		d *= random()
	}
	return time.Duration(d)
}
