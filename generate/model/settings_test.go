package model

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// maybe draws a value that may be unset. Origins tell equal values apart.
func maybe[T any](t *rapid.T, name string, values ...T) spec.Value[T] {
	if !rapid.Bool().Draw(t, name+" set") {
		return spec.Value[T]{}
	}
	return spec.Value[T]{
		V:      rapid.SampledFrom(values).Draw(t, name),
		Set:    true,
		Origin: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, name+" origin")),
	}
}

func drawSettings(t *rapid.T, name string) spec.Settings {
	words := []spec.Value[string]{{V: "a"}}
	others := []spec.Value[string]{{V: "b"}, {V: "c"}}
	limit := spec.RateLimit{
		Rate:  maybe(t, name+" rate", spec.Rate{Count: 1, Per: time.Second}, spec.Rate{Count: 2, Per: time.Minute}),
		Burst: maybe(t, name+" burst", 1, 2),
	}
	if limit.Rate.Set && !limit.Burst.Set {
		limit.Whole = rapid.Bool().Draw(t, name+" whole")
	}
	return spec.Settings{
		Queue:    maybe(t, name+" queue", "a", "b"),
		Priority: maybe(t, name+" priority", 1, 2),
		Timeout:  maybe(t, name+" timeout", time.Second, time.Minute),
		Retry: spec.Retry{
			MaxAttempts: maybe(t, name+" attempts", 1, 2),
			MaxDelay:    maybe(t, name+" max delay", time.Second, time.Minute),
			GiveUpOn:    maybe(t, name+" codes", words, others),
		},
		Idempotency: spec.Idempotency{Key: maybe(t, name+" key", words, others)},
		RateLimit:   limit,
		Concurrency: spec.Concurrency{Total: maybe(t, name+" total", 1, 2)},
		Group:       maybe(t, name+" group", words, others),
		SLO: spec.SLO{
			StartWithin: maybe(t, name+" start within", time.Second, time.Minute),
			Succeed:     maybe(t, name+" succeed", spec.Percent(990_000), spec.Percent(0)),
		},
	}
}

// Merging is associative with nothing as its identity, so it does not matter
// whether a policy is first laid on the defaults or first overlaid by the task.
func TestMergeIsAssociative(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawSettings(t, "a"), drawSettings(t, "b"), drawSettings(t, "c")
		require.Equal(t, merge(merge(a, b), c), merge(a, merge(b, c)))
		require.Equal(t, a, merge(a, spec.Settings{}))
		require.Equal(t, a, merge(spec.Settings{}, a))
		require.Equal(t, a, merge(a, a))
	})
}

func TestMergeGoesDeep(t *testing.T) {
	t.Parallel()
	s := load(t, `
defaults: {queue: slow, retry: {max_attempts: 9, base_delay: 2s}, rate_limit: {rate: 10/s, burst: 5}}
policies: {patient: {retry: {base_delay: 3s, give_up_on: [a, b]}, timeout: none}}
queues: {slow: {}}
tasks:
  t:all: {policy: patient, retry: {give_up_on: [c]}, rate_limit: {burst: 7}}
  t:none: {rate_limit: none}
  t:scalar: {rate_limit: 20/s}
`)
	all := s.Tasks[0]
	require.Equal(t, "t:all", all.Name)
	require.Equal(t, "slow", all.Queue.Name)
	require.Equal(t, 9, all.Retry.MaxAttempts, "from the defaults")
	require.Equal(t, 3*time.Second, all.Retry.BaseDelay, "from the policy")
	require.Equal(t, time.Hour, all.Retry.MaxDelay, "from the engine")
	require.Equal(t, []*Code{{Name: "c", GoName: "TAllC"}}, all.Retry.GiveUpOn, "lists replace")
	require.Zero(t, all.Timeout)
	require.Equal(t, &Rate{Count: 10, Per: time.Second, Burst: 7}, all.RateLimit)
	require.Nil(t, s.Tasks[1].RateLimit, "none unsets")
	require.Equal(t, &Rate{Count: 20, Per: time.Second}, s.Tasks[2].RateLimit, "the scalar form replaces the burst too")
}
