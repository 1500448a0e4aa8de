package measure_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/cmd/orchestrator/measure"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

// quick is the least there is to measure, on a fresh database.
func quick(t *testing.T) (measure.Config, *orchestrator.Client) {
	t.Helper()
	url := orchestratortest.DB(t)
	quiet := orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)}
	client, err := orchestrator.Open(t.Context(), url, quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return measure.Config{URL: url, Client: quiet, Duration: measure.MinDuration, Tasks: 50, Slots: 5}, client
}

// requireUntouched looks for what a run may leave behind.
func requireUntouched(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	left, err := measure.LeftBehind(t.Context(), client)
	require.NoError(t, err)
	require.Empty(t, left)
	for _, table := range []string{"tasks", "tasks_finished", "task_contracts", "workers"} {
		var n int
		require.NoError(t, client.DB().NewRaw("SELECT count(*) FROM orchestrator."+table).Scan(t.Context(), &n))
		require.Zero(t, n, table)
	}
}

func TestRunMeasuresEverythingAndLeavesNothing(t *testing.T) {
	t.Parallel()
	config, client := quick(t)
	var steps []string
	config.Progress = func(step string) { steps = append(steps, step) }
	report, err := measure.Run(t.Context(), config)
	require.NoError(t, err)
	require.Equal(t, []string{"server and round trip", "commits", "enqueue in batches", "drain", "pick-up", "enqueue one by one"}, steps)
	requireUntouched(t, client)

	require.NotEmpty(t, report.Server.Version)
	require.Equal(t, "off", report.Server.Settings["fsync"]) // as tests have it
	require.Len(t, report.Server.Settings, len(measure.Settings))
	latencies := []measure.Latency{report.Server.RoundTrip, report.Commit.Latency, report.Bulk.Latency, report.Pickup.Latency}
	rates := []float64{report.Commit.Rate, report.Bulk.Rate, report.Drain.Rate, report.Pickup.Rate}
	require.Len(t, report.Enqueue, 4)
	for i, n := range []int{1, 8, 64, 256} {
		one := report.Enqueue[i]
		require.Equal(t, n, one.Goroutines)
		require.GreaterOrEqual(t, one.Tasks, n)
		require.Equal(t, one.Tasks, one.Samples)
		latencies, rates = append(latencies, one.Latency), append(rates, one.Rate)
	}
	for i, l := range latencies {
		require.Positive(t, l.Samples, i)
		require.Positive(t, l.P50, i)
		require.GreaterOrEqual(t, l.P99, l.P50, i)
	}
	for i, rate := range rates {
		require.Positive(t, rate, i)
	}
	require.Positive(t, report.Bulk.Tasks)
	require.LessOrEqual(t, report.Bulk.Tasks, config.Tasks)
	require.LessOrEqual(t, report.Drain.Tasks, report.Bulk.Tasks)
	require.NotEmpty(t, report.Reading)
}

func TestRunThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"commits", "enqueue in batches", "drain", "pick-up", "enqueue one by one"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			config, client := quick(t)
			ctx, cancel := context.WithCancel(t.Context())
			config.Progress = func(step string) {
				if step == at {
					cancel()
				}
			}
			_, err := measure.Run(ctx, config)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, at)
			requireUntouched(t, client)
		})
	}
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	t.Parallel()
	good := measure.Config{Duration: measure.MinDuration, Tasks: 1, Slots: 1}
	require.NoError(t, good.Check())
	for want, change := range map[string]func(*measure.Config){
		"duration 10ms: want at least 1s": func(c *measure.Config) { c.Duration = 10 * time.Millisecond },
		"tasks 0: want 1 or more":         func(c *measure.Config) { c.Tasks = 0 },
		"slots -1: want 1 or more":        func(c *measure.Config) { c.Slots = -1 },
	} {
		config := good
		change(&config)
		_, err := measure.Run(t.Context(), config)
		require.EqualError(t, err, want)
	}
}
