package orchestrator_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// progress waits until it has come as far as want.
func progress(t *testing.T, ref orchestrator.TaskRef, want float64) (p orchestrator.Progress) {
	t.Helper()
	comesTrue(t, func() bool {
		var err error
		p, err = ref.Progress(t.Context())
		require.NoError(t, err)
		return p.Attempt > 0 && p.Fraction == want
	}, "progress is seen")
	return p
}

func TestProgressIsSeenWhileTheTaskRuns(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	say, said := make(chan float64), make(chan struct{})
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		for fraction := range say {
			if fraction < 0 {
				return nil, errors.New("not yet")
			}
			if err := task.Progress(ctx, fraction, "row\x00 7"); err != nil {
				return nil, err
			}
			said <- struct{}{}
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`)
	comesTrue(t, func() bool {
		info, err := client.TaskInfo(t.Context(), ref.ID())
		require.NoError(t, err)
		return info.State == orchestrator.Running
	}, "runs")
	none, err := ref.Progress(t.Context())
	require.NoError(t, err)
	require.Zero(t, none)

	say <- 0.25
	<-said
	p := progress(t, ref, 0.25)
	require.Equal(t, 1, p.Attempt)
	require.Equal(t, "row\uFFFD 7", p.Message)
	require.WithinDuration(t, time.Now(), p.At, time.Minute)
	info, err := client.TaskInfo(t.Context(), ref.ID())
	require.NoError(t, err)
	require.Equal(t, p, info.Progress)

	say <- 0.75
	<-said
	progress(t, ref, 0.75)

	// The next attempt begins anew.
	say <- -1
	comesTrue(t, func() bool {
		info, err := client.TaskInfo(t.Context(), ref.ID())
		require.NoError(t, err)
		return info.State == orchestrator.Running && info.Attempts == 1
	}, "runs again")
	again, err := ref.Progress(t.Context())
	require.NoError(t, err)
	require.Zero(t, again)
	say <- 0.5
	<-said
	require.Equal(t, 2, progress(t, ref, 0.5).Attempt)

	close(say)
	_, err = result(t, ref)
	require.NoError(t, err)
	_, err = ref.Progress(t.Context())
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
	_, err = client.Progress(t.Context(), 1<<60)
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
}

// Handlers that say a lot cost the database little, and do not wait for it.
func TestProgressIsWrittenRarely(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.DB().ExecContext(t.Context(), `
		CREATE TABLE written (n int);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.written VALUES (1); RETURN NULL; END';
		CREATE TRIGGER note AFTER INSERT ON orchestrator.task_progress FOR EACH STATEMENT EXECUTE FUNCTION note()`)
	require.NoError(t, err)
	const calls = 100_000
	release := make(chan struct{})
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		for i := range calls {
			if err := task.Progress(ctx, float64(i)/calls, ""); err != nil {
				return nil, err
			}
		}
		if err := task.Progress(ctx, 1, "the last"); err != nil {
			return nil, err
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil
	}), orchestrator.WorkerConfig{})
	began := time.Now()
	first, second := enqueue(t, client, echo, `{}`), enqueue(t, client, echo, `{}`)
	for _, ref := range []orchestrator.TaskRef{first, second} {
		require.Equal(t, "the last", progress(t, ref, 1).Message)
	}
	// One at once, then one an interval; both tasks share them.
	require.LessOrEqual(t, count(t, client, `SELECT count(*) FROM written`), 1+int(time.Since(began)/(500*time.Millisecond)))
	close(release)
	for _, ref := range []orchestrator.TaskRef{first, second} {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
}

func TestProgressOfALostTaskIsNotWritten(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Metadata["kept"] == "" {
			close(started)
		}
		<-proceed
		return nil, task.Progress(ctx, 0.5, "")
	}), orchestrator.WorkerConfig{Queues: []string{"default"}})
	lost := enqueue(t, client, echo, `{}`)
	<-started
	_, err := client.DB().ExecContext(t.Context(), `UPDATE orchestrator.tasks SET claim = claim + 1000`)
	require.NoError(t, err)
	kept := enqueue(t, client, echo, `{}`, orchestrator.WithMetadata(map[string]string{"kept": "1"}))
	close(proceed)
	_, err = result(t, kept)
	require.NoError(t, err)
	p, err := lost.Progress(t.Context())
	require.NoError(t, err)
	require.Zero(t, p)
	require.Zero(t, count(t, client, `SELECT count(*) FROM orchestrator.task_progress WHERE task_id = `+lost.ID().String()))
}

func TestBadProgressIsRefused(t *testing.T) {
	t.Parallel()
	task := &orchestrator.Task[struct{}, orchestrator.None]{} // a literal, as in a test of a handler
	require.NoError(t, task.Progress(t.Context(), 0, "begun"))
	require.NoError(t, task.Progress(t.Context(), 1, strings.Repeat("x", 1<<20)))
	for _, fraction := range []float64{-0.01, 1.01, math.NaN(), math.Inf(1)} {
		require.ErrorContains(t, task.Progress(t.Context(), fraction, ""), "want 0 to 1")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(orchestrator.ErrLeaseLost)
	require.ErrorIs(t, task.Progress(ctx, 0.5, ""), orchestrator.ErrLeaseLost)
	_, err := orchestrator.NewTaskRef(1, false, nil).Progress(t.Context())
	require.ErrorContains(t, err, "not made by a client")
}

func TestProgressOfEndedTasksIsForgotten(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	waiting := enqueue(t, client, echo, `{}`, orchestrator.WithDelay(time.Hour))
	_, err := client.DB().NewRaw(`INSERT INTO orchestrator.task_progress (task_id, attempt, fraction) VALUES (?, 1, 0.5), (99999, 1, 0.5)`,
		int64(waiting.ID())).Exec(t.Context())
	require.NoError(t, err)
	startWorker(t, client, handle(echo, fate), tidy)
	comesTrue(t, func() bool { return count(t, client, `SELECT count(*) FROM orchestrator.task_progress`) == 1 }, "the orphan goes")
	require.Equal(t, 1, count(t, client, `SELECT count(*) FROM orchestrator.task_progress WHERE task_id = `+waiting.ID().String()))
}
