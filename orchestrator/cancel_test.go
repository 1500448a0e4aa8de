package orchestrator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// requireCancelled checks how a cancelled task is seen by who waits for it.
func requireCancelled(t *testing.T, ref orchestrator.TaskRef, reason string, attempts int) {
	t.Helper()
	_, err := result(t, ref)
	var end *orchestrator.TaskError
	require.ErrorAs(t, err, &end)
	require.Equal(t, orchestrator.TaskError{
		ID: ref.ID(), State: orchestrator.Cancelled, Code: orchestrator.CodeCancelled, Message: reason, Attempt: attempts}, *end)
}

func TestWaitingTaskIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry})
	for _, opts := range [][]orchestrator.EnqueueOption{nil, {orchestrator.WithDelay(time.Hour)}} {
		ref := enqueue(t, client, echo, `{}`, opts...)
		state, err := client.Cancel(t.Context(), ref.ID(), "not needed")
		require.NoError(t, err)
		require.Equal(t, orchestrator.Cancelled, state)
		requireCancelled(t, ref, "not needed", 0)
		state, err = client.Cancel(t.Context(), ref.ID(), "again")
		require.NoError(t, err)
		require.Equal(t, orchestrator.Cancelled, state)
		requireCancelled(t, ref, "not needed", 0)
	}
	ref := enqueue(t, client, echo, `{}`)
	_, err := client.Cancel(t.Context(), ref.ID(), "")
	require.NoError(t, err)
	requireCancelled(t, ref, "cancelled on request", 0)
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP orchestrator_tasks_finished_total Tasks that ended, by their last state.
		# TYPE orchestrator_tasks_finished_total counter
		orchestrator_tasks_finished_total{queue="default",state="cancelled",type="test:echo"} 3
	`), "orchestrator_tasks_finished_total"))

	_, err = client.Cancel(t.Context(), 1<<50, "")
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
	require.Zero(t, count(t, client, "SELECT count(*) FROM orchestrator.cancel_requests"))
}

func TestTaskThatHasEndedIsNotCancelled(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ref := enqueue(t, client, echo, `{}`)
	dead := bury(t, client, 1)[0]
	state, err := client.Cancel(t.Context(), dead, "")
	require.NoError(t, err)
	require.Equal(t, orchestrator.Dead, state)
	state, err = client.Cancel(t.Context(), ref.ID(), "")
	require.NoError(t, err)
	require.Equal(t, orchestrator.Succeeded, state)
}

// A running task's handler is told within a second, why too. What it returns
// then decides, unless that is an error: whichever, the task is cancelled.
func TestRunningTaskIsCancelled(t *testing.T) {
	t.Parallel()
	for how, config := range informed {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			client, people := twoClients(t)
			begun, causes := make(chan struct{}), make(chan error)
			startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
				begun <- struct{}{}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				switch string(task.Payload) {
				case `{"end": "done"}`:
					return []byte(`"done"`), nil
				case `{"end": "dead"}`:
					return nil, orchestrator.Permanent(errors.New("broken"))
				}
				return nil, ctx.Err()
			}), config)
			for _, payload := range []string{`{}`, `{"end": "dead"}`, `{"end": "done"}`} {
				ref := enqueue(t, client, echo, payload)
				<-begun
				state, err := people.Cancel(t.Context(), ref.ID(), "by hand")
				require.NoError(t, err)
				require.Equal(t, orchestrator.Running, state)
				cause := <-causes
				require.ErrorIs(t, cause, orchestrator.ErrCancelled)
				require.ErrorContains(t, cause, "by hand")
				if payload != `{"end": "done"}` {
					requireCancelled(t, ref, "by hand", 1)
					continue
				}
				got, err := result(t, ref)
				require.NoError(t, err, "the work was done")
				require.Equal(t, `"done"`, got)
			}
			eventually(t, client, "SELECT count(*) FROM orchestrator.cancel_requests", 0)
		})
	}
}

// A task that a worker has claimed ahead is cancelled without being started.
func TestClaimedTaskThatHasNotStartedIsCancelled(t *testing.T) {
	t.Parallel()
	const tasks = 3000
	client := orchestratortest.Client(t)
	one := variant("test:one", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "one", PerWorker: 1} })
	batch := make([]orchestrator.Request, tasks)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: one, Payload: []byte(`{}`)}
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	byID := map[orchestrator.TaskID]orchestrator.TaskRef{}
	for _, ref := range refs {
		byID[ref.ID()] = ref
	}
	var ran atomic.Int32
	var victim atomic.Int64
	var started atomic.Bool
	held, hold := make(chan orchestrator.TaskID), make(chan struct{})
	var once atomic.Bool
	startWorker(t, client, handle(one, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if ran.Add(1) > 200 && !once.Load() {
			var id int64
			err := client.DB().NewRaw("SELECT coalesce(max(id), 0) FROM orchestrator.tasks WHERE state = 1").Scan(ctx, &id)
			if err == nil && id > int64(task.ID)+20 && once.CompareAndSwap(false, true) {
				victim.Store(id)
				held <- orchestrator.TaskID(id)
				<-hold
			}
		}
		if int64(task.ID) == victim.Load() {
			started.Store(true)
		}
		return nil, nil
	}), orchestrator.WorkerConfig{ClaimInterval: time.Minute})
	id := <-held
	state, err := client.Cancel(t.Context(), id, "unstarted")
	require.NoError(t, err)
	require.Equal(t, orchestrator.Running, state)
	requireCancelled(t, byID[id], "unstarted", 0) // while the only slot is taken
	close(hold)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks", 0)
	require.False(t, started.Load())
}

// A request holds whatever becomes of the worker.
func TestCancelRequestSurvivesTheWorker(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	crashed, retrying := enqueue(t, client, echo, `{}`), enqueue(t, client, echo, `{}`, orchestrator.WithDelay(time.Hour))
	run := func(ref orchestrator.TaskRef) {
		_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET state = 1, worker_id = 1, claim = 1 WHERE id = ?", int64(ref.ID()))
		require.NoError(t, err)
		state, err := client.Cancel(t.Context(), ref.ID(), "too late for the worker")
		require.NoError(t, err)
		require.Equal(t, orchestrator.Running, state)
	}
	run(crashed)
	run(retrying)
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET state = 0, worker_id = NULL, attempts = 1 WHERE id = ?", int64(retrying.ID()))
	require.NoError(t, err)
	_, err = client.DB().ExecContext(t.Context(), "INSERT INTO orchestrator.cancel_requests (task_id) VALUES (?)", 1<<50) // its task is gone
	require.NoError(t, err)
	var ran atomic.Bool
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		ran.Store(true)
		return nil, nil
	}), quick)
	requireCancelled(t, crashed, "too late for the worker", 0)
	requireCancelled(t, retrying, "too late for the worker", 1)
	eventually(t, client, "SELECT count(*) FROM orchestrator.cancel_requests", 0)
	require.False(t, ran.Load())
}

// A request that came too late for a task that died does not end its redrive.
func TestRedrivenTaskIsNotCancelledByAnOldRequest(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	id := bury(t, client, 1)[0]
	_, err := client.DB().ExecContext(t.Context(), "INSERT INTO orchestrator.cancel_requests (task_id) VALUES (?)", int64(id))
	require.NoError(t, err)
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Zero(t, count(t, client, "SELECT count(*) FROM orchestrator.cancel_requests"))
}

func TestCancelTasksByFilter(t *testing.T) {
	t.Parallel()
	const tasks = 1200 // more than two batches
	client := orchestratortest.Client(t)
	batch := make([]orchestrator.Request, tasks)
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: otherType, Payload: []byte(`{}`)}
	}
	_, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	later := enqueue(t, client, otherType, `{}`, orchestrator.WithDelay(time.Hour))
	kept := enqueue(t, client, otherType, `{}`, orchestrator.WithQueue("kept"))
	begun := make(chan struct{})
	startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}), orchestrator.WorkerConfig{})
	running := enqueue(t, client, echo, `{}`)
	<-begun

	cancel := func(filter orchestrator.TaskFilter) orchestrator.CancelCount {
		n, err := client.CountLive(t.Context(), filter)
		require.NoError(t, err)
		done, err := client.CancelTasks(t.Context(), filter, "by filter")
		require.NoError(t, err)
		require.Equal(t, n, done.Cancelled+done.Requested)
		return done
	}
	require.Equal(t, orchestrator.CancelCount{}, cancel(orchestrator.TaskFilter{States: []orchestrator.State{}}))
	require.Equal(t, orchestrator.CancelCount{}, cancel(orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Succeeded}}))
	require.Equal(t, orchestrator.CancelCount{Cancelled: 1}, cancel(orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Scheduled}}))
	requireCancelled(t, later, "by filter", 0)
	require.Equal(t, orchestrator.CancelCount{Cancelled: tasks, Requested: 1}, cancel(orchestrator.TaskFilter{Queues: []string{"default"}}))
	requireCancelled(t, running, "by filter", 1)
	require.Equal(t, "ready", rowOf(t, client, kept.ID()).State)
}

// A handler that ignores its cancelled context is reported, once, and no
// longer than it does.
func TestStuckHandlerIsReported(t *testing.T) {
	t.Parallel()
	var log logLines
	registry := prometheus.NewPedanticRegistry()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry, Logger: log.logger(slog.LevelInfo)})
	brief := variant("test:brief", func(d *orchestrator.Definition) { d.Timeout = time.Millisecond; d.Retry.MaxAttempts = 1 })
	hold := make(chan struct{})
	worker := orchestrator.NewWorker(client, handle(brief, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		<-hold
		return nil, errors.New("at last")
	}), orchestrator.WorkerConfig{ClaimInterval: 5 * time.Millisecond})
	worker.AbandonAfter(20 * time.Millisecond)
	runWorker(t, worker)
	ref := enqueue(t, client, brief, `{}`)
	stuck := func(n string) func() bool {
		return func() bool {
			return testutil.GatherAndCompare(registry, strings.NewReader(`
				# HELP orchestrator_worker_stuck_handlers Handlers of this process that go on though their contexts ended more than 5 s ago.
				# TYPE orchestrator_worker_stuck_handlers gauge
				orchestrator_worker_stuck_handlers `+n+"\n"), "orchestrator_worker_stuck_handlers") == nil
		}
	}
	require.Eventually(t, stuck("1"), 30*time.Second, time.Millisecond)
	enqueue(t, client, brief, `{}`)
	require.Eventually(t, stuck("2"), 30*time.Second, time.Millisecond)
	close(hold)
	require.Eventually(t, stuck("0"), 30*time.Second, time.Millisecond)
	_, err := result(t, ref)
	require.ErrorContains(t, err, "at last")
	lines := log.said(t, "handler ignores its cancelled context and keeps its slot")
	require.Len(t, lines, 2, "one a handler")
	require.EqualValues(t, ref.ID(), lines[0]["task"])
	require.Equal(t, "test:brief", lines[0]["type"])
	require.Contains(t, lines[0]["cause"], "timed out")
}

// A worker stops although a handler ignores its cancelled context.
func TestShutdownIsNotHeldUpByAStuckHandler(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	begun, hold := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	worker := orchestrator.NewWorker(client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		close(begun)
		<-hold
		ended.Store(true)
		return nil, nil
	}), orchestrator.WorkerConfig{ShutdownTimeout: time.Millisecond})
	worker.AbandonAfter(20 * time.Millisecond)
	stop := runWorker(t, worker)
	ref := enqueue(t, client, echo, `{}`)
	<-begun
	stop()
	require.False(t, ended.Load())
	require.Equal(t, "ready", rowOf(t, client, ref.ID()).State)
	close(hold)
}
