package orchestrator_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// quietClient does not log what the tests let happen by the thousand.
func quietClient(t *testing.T) *orchestrator.Client {
	t.Helper()
	return orchestratortest.Client(t, orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)})
}

// bury enqueues n tasks and lets them die.
func bury(t *testing.T, client *orchestrator.Client, n int, opts ...orchestrator.EnqueueOption) []orchestrator.TaskID {
	t.Helper()
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: []byte(`{"end": "dead"}`)}
		batch[i].Apply(opts)
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	orchestratortest.Drain(t, client, handle(echo, fate))
	all := make([]orchestrator.TaskID, n)
	for i, ref := range refs {
		all[i] = ref.ID()
	}
	return all
}

func TestRedriveStartsOver(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	id := bury(t, client, 1, orchestrator.WithIdempotencyKey("k"), orchestrator.WithPriority(9), orchestrator.WithTTL(time.Hour),
		orchestrator.WithMaxAttempts(2), orchestrator.WithMetadata(map[string]string{"a": "b"}))[0]
	before, err := client.TaskInfo(t.Context(), id)
	require.NoError(t, err)

	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{IDs: []orchestrator.TaskID{id}})
	require.NoError(t, err)
	require.Equal(t, 1, n)

	after, err := client.TaskInfo(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, orchestrator.Ready, after.State)
	require.Zero(t, after.Attempts)
	require.WithinDuration(t, time.Now(), after.RunAt, time.Minute)
	want := before
	want.State, want.Attempts, want.RunAt, want.ClaimedAt, want.FinishedAt, want.Worker =
		orchestrator.Ready, 0, after.RunAt, time.Time{}, time.Time{}, 0
	require.Equal(t, want, after)

	// The key is still the task's.
	again := enqueue(t, client, echo, `{}`, orchestrator.WithIdempotencyKey("k"))
	require.True(t, again.Existing())
	require.Equal(t, id, again.ID())

	var attempts atomic.Int32
	orchestratortest.Drain(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		require.Equal(t, int(attempts.Add(1)), task.Attempt)
		return nil, errors.New("again")
	}))
	require.EqualValues(t, 2, attempts.Load())
	after, err = client.TaskInfo(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, orchestrator.Dead, after.State)
	require.Len(t, after.Errors, 3)
}

func TestRedriveWakesAnIdleWorker(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	client, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	id := bury(t, client, 1)[0]
	mux := handle(echo, echoPayload)
	// Far from any poll.
	startWorker(t, client, mux, orchestrator.WorkerConfig{ClaimInterval: time.Hour})
	eventually(t, client, "SELECT count(*) FROM orchestrator.workers WHERE idle", 1)
	other, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	_, err = other.Redrive(t.Context(), orchestrator.DeadFilter{IDs: []orchestrator.TaskID{id}})
	require.NoError(t, err)
	_, err = result(t, other.Lookup(echo, id))
	require.NoError(t, err)
}

func TestDeadFilters(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	first := bury(t, client, 3)
	second := bury(t, client, 2, orchestrator.WithQueue("default"))
	newest := slices.Concat(second, first)
	listed := func(f orchestrator.DeadFilter) []orchestrator.TaskID {
		all := ids(t, client.DeadTasks(t.Context(), f))
		return all
	}
	require.ElementsMatch(t, newest, listed(orchestrator.DeadFilter{}))
	require.ElementsMatch(t, second, listed(orchestrator.DeadFilter{})[:2], "those that died last come first")
	require.ElementsMatch(t, first, listed(orchestrator.DeadFilter{IDs: first}))
	require.Len(t, listed(orchestrator.DeadFilter{Codes: []orchestrator.Code{"refused", "x"}, Types: []string{"test:echo"}, Queues: []string{"default"}}), 5)
	require.Empty(t, listed(orchestrator.DeadFilter{Codes: []orchestrator.Code{"x"}}))
	require.Empty(t, listed(orchestrator.DeadFilter{DiedSince: time.Now().Add(time.Hour)}))
	require.Len(t, listed(orchestrator.DeadFilter{DiedBefore: time.Now().Add(time.Hour)}), 5)

	n, err := client.PurgeDead(t.Context(), orchestrator.DeadFilter{IDs: []orchestrator.TaskID{}})
	require.NoError(t, err)
	require.Zero(t, n, "an empty list is not all of them")
	n, err = client.PurgeDead(t.Context(), orchestrator.DeadFilter{IDs: append([]orchestrator.TaskID{999_999}, first...)})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.ElementsMatch(t, second, listed(orchestrator.DeadFilter{}))
	_, err = client.TaskInfo(t.Context(), first[0])
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
	n, err = client.PurgeDead(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

// More than a batch, and tasks that die again while the redrive goes on: each
// comes back once.
func TestRedriveOfManyEnds(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	const n = 1200
	all := bury(t, client, n)
	startWorker(t, client, handle(echo, fate), orchestrator.WorkerConfig{})
	back, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, n, back)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_dead WHERE jsonb_array_length(errors) = 2", n)
	require.Len(t, ids(t, client.DeadTasks(t.Context(), orchestrator.DeadFilter{IDs: all})), n)
}

func TestTwoRedrivesShareTheDead(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	bury(t, client, 600)
	counts := make(chan int)
	for range 2 {
		go func() {
			n, err := client.Redrive(context.WithoutCancel(t.Context()), orchestrator.DeadFilter{})
			if err != nil {
				n = -1_000_000
			}
			counts <- n
		}()
	}
	require.LessOrEqual(t, <-counts+<-counts, 600)
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.LessOrEqual(t, n, 600)
	require.Equal(t, 600, count(t, client, "SELECT count(*) FROM orchestrator.tasks"))
}
