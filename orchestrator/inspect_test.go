package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// ids collects the ids of a listing.
func ids(t *testing.T, tasks func(func(orchestrator.TaskInfo, error) bool)) []orchestrator.TaskID {
	t.Helper()
	all := []orchestrator.TaskID{}
	for task, err := range tasks {
		require.NoError(t, err)
		all = append(all, task.ID)
	}
	return all
}

// fate ends tasks as their payload says.
func fate(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
	var want struct{ End string }
	if err := json.Unmarshal(task.Payload, &want); err != nil {
		return nil, err
	}
	switch want.End {
	case "dead":
		return nil, orchestrator.Permanent(fmt.Errorf("given up: %w", orchestrator.Code("refused")))
	case "cancelled":
		return nil, orchestrator.Cancel(errors.New("not wanted"))
	case "panic":
		panic("boom")
	}
	return []byte(`{"done": true}`), nil
}

func TestTasksInAllStates(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	end := func(how string, opts ...orchestrator.EnqueueOption) orchestrator.TaskID {
		return enqueue(t, client, echo, `{"end": "`+how+`"}`, opts...).ID()
	}
	succeeded := end("", orchestrator.WithMetadata(map[string]string{"who": "ada"}))
	dead, cancelled, panicked := end("dead"), end("cancelled"), end("panic", orchestrator.WithMaxAttempts(1))
	expired := end("", orchestrator.WithTTL(time.Microsecond))
	orchestratortest.Drain(t, client, handle(echo, fate))
	scheduled := end("", orchestrator.WithDelay(time.Hour), orchestrator.WithPriority(7), orchestrator.WithTTL(time.Hour))
	ready := end("", orchestrator.WithQueue("nobody"))

	for id, want := range map[orchestrator.TaskID]orchestrator.State{
		succeeded: orchestrator.Succeeded, dead: orchestrator.Dead, panicked: orchestrator.Dead, cancelled: orchestrator.Cancelled,
		expired: orchestrator.Expired, scheduled: orchestrator.Scheduled, ready: orchestrator.Ready,
	} {
		task, err := client.TaskInfo(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, task.State, "%+v", task)
		require.Equal(t, "test:echo", task.Type)
		require.Equal(t, []orchestrator.TaskID{id}, ids(t, client.Tasks(t.Context(), orchestrator.TaskFilter{
			IDs: []orchestrator.TaskID{id}, States: []orchestrator.State{want}})))
	}

	task, err := client.TaskInfo(t.Context(), succeeded)
	require.NoError(t, err)
	require.JSONEq(t, `{"done": true}`, string(task.Result))
	require.JSONEq(t, `{"end": ""}`, string(task.Payload))
	require.Equal(t, map[string]string{"who": "ada"}, task.Metadata)
	require.Equal(t, 1, task.Attempts)
	require.Equal(t, 5, task.MaxAttempts)
	require.False(t, task.EnqueuedAt.IsZero() || task.ClaimedAt.IsZero() || task.FinishedAt.IsZero() || task.Worker == 0)
	require.True(t, task.RunAt.IsZero() && task.ExpiresAt.IsZero())
	require.Nil(t, task.LastError())

	task, err = client.TaskInfo(t.Context(), dead)
	require.NoError(t, err)
	require.Nil(t, task.Result)
	require.Equal(t, orchestrator.Code("refused"), task.LastError().Code)
	require.Equal(t, "given up: refused", task.LastError().Message)
	require.Equal(t, 1, task.LastError().Attempt)
	require.WithinDuration(t, task.FinishedAt, task.LastError().At, 0)

	task, err = client.TaskInfo(t.Context(), panicked)
	require.NoError(t, err)
	require.Equal(t, 1, task.MaxAttempts)
	require.Contains(t, task.LastError().Stack, "fate")

	task, err = client.TaskInfo(t.Context(), scheduled)
	require.NoError(t, err)
	require.Equal(t, 7, task.Priority)
	require.Equal(t, task.RunAt.Add(time.Hour), task.ExpiresAt)
	require.True(t, task.ClaimedAt.IsZero())

	_, err = client.TaskInfo(t.Context(), 999_999)
	require.ErrorIs(t, err, orchestrator.ErrNotFound)

	filtered := func(f orchestrator.TaskFilter) []orchestrator.TaskID { return ids(t, client.Tasks(t.Context(), f)) }
	require.Equal(t, []orchestrator.TaskID{ready, scheduled, expired, panicked, cancelled, dead, succeeded}, filtered(orchestrator.TaskFilter{}))
	require.Equal(t, []orchestrator.TaskID{ready}, filtered(orchestrator.TaskFilter{Queues: []string{"nobody", "other"}}))
	require.Equal(t, []orchestrator.TaskID{dead}, filtered(orchestrator.TaskFilter{Codes: []orchestrator.Code{"refused"}}))
	require.Len(t, filtered(orchestrator.TaskFilter{Types: []string{"test:echo"}}), 7)
	require.Len(t, filtered(orchestrator.TaskFilter{EnqueuedSince: time.Now().Add(-time.Hour), EnqueuedBefore: time.Now().Add(time.Hour)}), 7)
	require.Len(t, filtered(orchestrator.TaskFilter{FinishedSince: time.Now().Add(-time.Hour)}), 5)
	require.Empty(t, filtered(orchestrator.TaskFilter{Types: []string{"no:such"}}))
	require.Empty(t, filtered(orchestrator.TaskFilter{EnqueuedSince: time.Now().Add(time.Hour)}))
	// An empty list is not "any".
	require.Empty(t, filtered(orchestrator.TaskFilter{States: []orchestrator.State{}}))
	require.Empty(t, filtered(orchestrator.TaskFilter{IDs: []orchestrator.TaskID{}}))
	require.Empty(t, filtered(orchestrator.TaskFilter{Types: []string{}}))
}

func TestRetryingTask(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	mux := handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		return nil, orchestrator.RetryAfter(time.Hour, errors.New("later"))
	})
	id := enqueue(t, client, echo, `{}`).ID()
	orchestratortest.Drain(t, client, mux)
	task, err := client.TaskInfo(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, orchestrator.Retrying, task.State)
	require.Equal(t, "later", task.LastError().Message)
	require.Zero(t, task.Worker)
	status, err := client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, []orchestrator.QueueStatus{{Queue: "default", Retrying: 1}}, status.Queues)
}

func TestTasksArePaged(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	const n = 450 // more than two pages
	batch := make([]orchestrator.Request, n)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: []byte(`{}`)}
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	all := ids(t, client.Tasks(t.Context(), orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Ready}}))
	require.Len(t, all, n)
	for i, id := range all {
		require.Equal(t, refs[n-1-i].ID(), id)
	}
	for task, err := range client.Tasks(t.Context(), orchestrator.TaskFilter{}) {
		require.NoError(t, err)
		require.Equal(t, refs[n-1].ID(), task.ID)
		break
	}
}

func TestTasksOfAClosedDatabase(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range client.Tasks(ctx, orchestrator.TaskFilter{}) {
		n++
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 1, n)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	started, release := make(chan struct{}), make(chan struct{})
	mux := handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if string(task.Payload) == `{"block":1}` {
			close(started)
			<-release
		}
		return fate(ctx, task)
	})
	dead := enqueue(t, client, echo, `{"end":"dead"}`)
	orchestratortest.Drain(t, client, mux)
	enqueue(t, client, echo, `{"block":1}`)
	enqueue(t, client, echo, `{}`, orchestrator.WithQueue("nobody"))
	enqueue(t, client, echo, `{}`, orchestrator.WithQueue("nobody"), orchestrator.WithDelay(time.Hour))
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET run_at = run_at - interval '5 minutes' WHERE queue = 'nobody'")
	require.NoError(t, err)
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 3})
	defer close(release)
	<-started
	eventually(t, client, "SELECT count(*) FROM orchestrator.leader WHERE expires_at > now()", 1)

	status, err := client.Status(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), status.Now, time.Minute)
	require.Len(t, status.Queues, 2)
	require.Equal(t, orchestrator.QueueStatus{Queue: "default", Running: 1, Dead: 1, Workers: 1}, status.Queues[0])
	nobody := status.Queues[1]
	require.InDelta(t, 300, nobody.OldestReady.Seconds(), 60)
	nobody.OldestReady = 0
	require.Equal(t, orchestrator.QueueStatus{Queue: "nobody", Ready: 1, Scheduled: 1}, nobody)

	require.Len(t, status.Workers, 1)
	worker := status.Workers[0]
	require.True(t, worker.Alive && worker.Leader && !worker.Draining)
	require.Equal(t, []string{"default"}, worker.Queues)
	require.Equal(t, 3, worker.Slots)
	require.Equal(t, 30*time.Second, worker.Lease)
	task, err := client.TaskInfo(t.Context(), dead.ID())
	require.NoError(t, err)
	require.NotEqual(t, worker.ID, task.Worker)

	text, err := json.Marshal(status)
	require.NoError(t, err)
	var fields struct {
		Queues []struct {
			Queue  string
			Oldest float64 `json:"oldest_ready_seconds"`
		}
		Workers []struct {
			ID    string
			Lease float64 `json:"lease_seconds"`
		}
	}
	require.NoError(t, json.Unmarshal(text, &fields))
	require.Equal(t, "nobody", fields.Queues[1].Queue)
	require.InDelta(t, 300, fields.Queues[1].Oldest, 60)
	require.EqualValues(t, 30, fields.Workers[0].Lease)
	require.Equal(t, fmt.Sprint(worker.ID), fields.Workers[0].ID)
}

func TestInspectionInAnotherSchema(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Schema: "elsewhere"})
	_, err := client.Migrator().Up(t.Context())
	require.NoError(t, err)
	id := enqueue(t, client, echo, `{"end":"dead"}`).ID()
	orchestratortest.Drain(t, client, handle(echo, fate))
	require.Equal(t, []orchestrator.TaskID{id}, ids(t, client.Tasks(t.Context(), orchestrator.TaskFilter{Types: []string{"test:echo"}})))
	status, err := client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, []orchestrator.QueueStatus{{Queue: "default", Dead: 1}}, status.Queues)
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
