package orchestrator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	p, err := orchestrator.ParsePolicy("timeout=1d12h", "retry.max_attempts=3", "backoff=linear", "base_delay=500ms", "max_delay=2m",
		"multiplier=1.5", "jitter=none")
	require.NoError(t, err)
	timeout := 36 * time.Hour
	require.Equal(t, orchestrator.Policy{Timeout: &timeout, MaxAttempts: 3, Backoff: orchestrator.Linear, BaseDelay: 500 * time.Millisecond,
		MaxDelay: 2 * time.Minute, Multiplier: 1.5, Jitter: orchestrator.NoJitter}, p)
	require.Equal(t, "timeout=36h0m0s max_attempts=3 backoff=linear base_delay=500ms max_delay=2m0s multiplier=1.5 jitter=none", p.String())
	text, err := p.MarshalJSON()
	require.NoError(t, err)
	var back orchestrator.Policy
	require.NoError(t, back.UnmarshalJSON(text))
	require.Equal(t, p, back)
	none, err := orchestrator.ParsePolicy("timeout=none")
	require.NoError(t, err)
	require.Equal(t, []string{"timeout=none"}, none.Settings())

	for setting, want := range map[string]string{
		"timeout":         `policy setting "timeout": want NAME=VALUE, such as timeout=2m`,
		"timeout=30":      "policy setting timeout=30: want a duration such as 30s, 5m or 1d12h, or none",
		"timeout=0s":      "policy setting timeout=0s: want a duration",
		"timeout=-1s":     "want a duration",
		"timeout=d":       "want a duration",
		"base_delay=none": "want a duration such as 500ms",
		"max_attempts=0":  "policy setting max_attempts=0: want a whole number from 1 to 10000",
		"backoff=fast":    "policy setting backoff=fast: want exponential, linear or constant",
		"multiplier=NaN":  "want a number from 1 to 100",
		"jitter=":         "policy setting jitter=: want full, equal or none",
		"max_atempts=3":   `no policy setting "max_atempts"; did you mean max_attempts?`,
		"deadline=2d":     `no policy setting "deadline" that can be overridden at run time: want timeout, max_attempts, backoff, base_delay, max_delay, multiplier, jitter`,
	} {
		_, err := orchestrator.ParsePolicy(setting)
		require.ErrorContains(t, err, want, setting)
	}
	_, err = orchestrator.ParsePolicy("timeout=1s", "timeout=2s", "jitter=half")
	require.ErrorContains(t, err, "timeout is there twice")
	require.ErrorContains(t, err, "jitter=half")
}

// An overridden policy holds for attempts that start and fail from then on,
// whatever the binary and the row say, until its time is over.
func TestPolicyIsOverridden(t *testing.T) {
	t.Parallel()
	for how, config := range informed {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			client, people := twoClients(t)
			type call struct {
				max     int
				left    time.Duration
				outcome chan error
			}
			calls := make(chan call)
			patient := variant("test:patient", func(d *orchestrator.Definition) {
				d.Timeout = time.Hour
				d.Retry = orchestrator.RetryPolicy{MaxAttempts: 10, BaseDelay: 24 * time.Hour, MaxDelay: 48 * time.Hour, Jitter: orchestrator.NoJitter}
			})
			ref := enqueue(t, client, patient, `{}`, orchestrator.WithMaxAttempts(7), orchestrator.WithTimeout(2*time.Hour))
			set := func(settings ...string) {
				t.Helper()
				policy, err := orchestrator.ParsePolicy(settings...)
				require.NoError(t, err)
				expires, err := people.SetPolicy(t.Context(), "test:patient", policy, time.Hour)
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(time.Hour), expires, 30*time.Minute)
			}
			set("timeout=30m", "max_attempts=3", "base_delay=1ms")
			worker := orchestrator.NewWorker(client, handle(patient, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
				deadline, _ := ctx.Deadline()
				c := call{task.MaxAttempts, time.Until(deadline), make(chan error)}
				calls <- c
				return nil, <-c.outcome
			}), config)
			runWorker(t, worker)
			knows := func(policy string) {
				t.Helper()
				require.Eventually(t, func() bool {
					known := worker.Policy("test:patient")
					return known == nil && policy == "" || known != nil && known.String() == policy
				}, 30*time.Second, time.Millisecond)
			}
			first := <-calls
			require.Equal(t, 3, first.max)
			require.Less(t, first.left, 31*time.Minute)
			first.outcome <- errors.New("once") // the retry comes after a millisecond, not a day
			second := <-calls

			// What is set meanwhile decides how this attempt is judged.
			set("max_attempts=2")
			knows("max_attempts=2")
			second.outcome <- errors.New("twice")
			_, err := result(t, ref)
			var end *orchestrator.TaskError
			require.ErrorAs(t, err, &end)
			require.Equal(t, orchestrator.Dead, end.State)
			require.Equal(t, 2, end.Attempt)

			// Cleared, or expired, it is as declared.
			for _, over := range []func(){
				func() { require.NoError(t, people.ClearPolicy(t.Context(), "test:patient")) },
				func() {
					set("max_attempts=2")
					knows("max_attempts=2")
					_, err := people.DB().ExecContext(t.Context(), "UPDATE orchestrator.task_settings SET policy_expires_at = now() - interval '1 second'")
					require.NoError(t, err)
				},
			} {
				over()
				require.Nil(t, typeOf(t, client, "test:patient").Policy)
				knows("")
				ref = enqueue(t, client, patient, `{}`)
				again := <-calls
				require.Equal(t, 10, again.max)
				require.Greater(t, again.left, 59*time.Minute)
				again.outcome <- nil
				_, err = result(t, ref)
				require.NoError(t, err)
			}
		})
	}
}

// A policy that is overridden decides about crashes, too.
func TestOverriddenMaxAttemptsBoundCrashes(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithMaxAttempts(9))
	_, err := client.DB().ExecContext(t.Context(), `
		UPDATE orchestrator.tasks SET state = 1, worker_id = 1, claim = 1, suspect = true, started_at = now(), attempts = 1`)
	require.NoError(t, err)
	policy, err := orchestrator.ParsePolicy("max_attempts=2")
	require.NoError(t, err)
	_, err = client.SetPolicy(t.Context(), "test:echo", policy, time.Hour)
	require.NoError(t, err)
	startWorker(t, client, handle(echo, echoPayload), quick)
	_, err = result(t, ref)
	var end *orchestrator.TaskError
	require.ErrorAs(t, err, &end)
	require.Equal(t, orchestrator.TaskError{ID: ref.ID(), State: orchestrator.Dead, Code: orchestrator.CodeCrashed, Message: end.Message, Attempt: 2}, *end)
}

func TestBadPoliciesAreRefused(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	enqueue(t, client, echo, `{}`)
	policy := orchestrator.Policy{MaxAttempts: 3}
	for _, bad := range []struct {
		policy orchestrator.Policy
		name   string
		lasts  time.Duration
		want   string
	}{
		{orchestrator.Policy{}, "test:echo", time.Hour, "overrides nothing"},
		{orchestrator.Policy{MaxAttempts: -1}, "test:echo", time.Hour, "max_attempts=-1"},
		{orchestrator.Policy{Backoff: "fast"}, "test:echo", time.Hour, "backoff=fast"},
		{policy, "test:echo", 0, "want 1s to 720h0m0s"},
		{policy, "test:echo", 31 * 24 * time.Hour, "want 1s to 720h0m0s"},
		{policy, "test:ecko", time.Hour, "did you mean test:echo?"},
	} {
		_, err := client.SetPolicy(t.Context(), bad.name, bad.policy, bad.lasts)
		require.ErrorContains(t, err, bad.want)
	}
	require.NoError(t, client.ClearPolicy(t.Context(), "test:echo"))
	require.ErrorIs(t, client.ClearPolicy(t.Context(), "test:ecko"), orchestrator.ErrUnknownTask)
}
