package orchestrator_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// overdue returns the error of a task that is dead because of its deadline.
func overdue(t *testing.T, ref orchestrator.TaskRef) orchestrator.TaskError {
	t.Helper()
	_, err := result(t, ref)
	require.ErrorIs(t, err, orchestrator.CodeDeadline)
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, orchestrator.Dead, failed.State)
	return *failed
}

func TestDeadlineCutsTheAttemptOff(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	causes := make(chan error, 1)
	startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithDeadline(2*time.Second), orchestrator.WithTimeout(time.Minute))
	require.Equal(t, 1, overdue(t, ref).Attempt, "and there are no more attempts")
	require.ErrorIs(t, <-causes, orchestrator.ErrDeadline)
	require.Equal(t, "deadline", rowOf(t, client, ref.ID()).Errors[0].Code)
}

func TestTimeoutBeforeTheDeadlineIsRetried(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt == 1 {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return []byte(`"second"`), nil
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithDeadline(time.Hour), orchestrator.WithTimeout(10*time.Millisecond))
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, `"second"`, got)
}

// What would start after the deadline is not waited for.
func TestNothingIsScheduledPastTheDeadline(t *testing.T) {
	t.Parallel()
	const down orchestrator.Code = "smtp_down"
	d := variant("test:deadline", func(d *orchestrator.Definition) {
		d.Deadline = time.Hour
		d.Retry = orchestrator.RetryPolicy{Backoff: "constant", Jitter: "none", BaseDelay: 2 * time.Hour, MaxDelay: 2 * time.Hour}
	})
	client := orchestratortest.Client(t)
	ends := map[string]error{
		"a retry":                       down,
		"a retry at the handler's wish": orchestrator.RetryAfter(2*time.Hour, down),
		"a snooze":                      orchestrator.Snooze(2 * time.Hour),
	}
	startWorker(t, client, handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		return nil, ends[task.Metadata["end"]]
	}), orchestrator.WorkerConfig{})
	for name, end := range ends {
		ref := enqueue(t, client, d, `{}`, orchestrator.WithMetadata(map[string]string{"end": name}))
		attempts := 1
		if !errors.Is(end, down) {
			attempts = 0 // a snooze spends none
		}
		require.Equal(t, attempts, overdue(t, ref).Attempt, name)
		if attempts == 1 {
			require.Equal(t, "smtp_down", rowOf(t, client, ref.ID()).Errors[0].Code, "what went wrong is kept")
		}
	}
}

// leadElsewhere keeps a test's worker from leading.
func leadElsewhere(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	_, err := client.DB().ExecContext(t.Context(), "INSERT INTO orchestrator.leader (worker_id, epoch, expires_at) VALUES (0, 1, now() + interval '1 day')")
	require.NoError(t, err)
}

func TestTaskPastItsDeadlineDoesNotRun(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	leadElsewhere(t, client)
	var ran atomic.Int32
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithRunAt(time.Now().Add(-time.Hour)), orchestrator.WithDeadline(time.Minute))
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		ran.Add(1)
		return nil, nil
	}), orchestrator.WorkerConfig{})
	require.Zero(t, overdue(t, ref).Attempt)
	require.Zero(t, ran.Load())
}

func TestLeaderEndsTasksThatWaitPastTheirDeadline(t *testing.T) {
	t.Parallel()
	d := variant("test:unhandled", func(d *orchestrator.Definition) { d.Deadline = time.Minute })
	client := orchestratortest.Client(t)
	late := enqueue(t, client, d, `{}`, orchestrator.WithRunAt(time.Now().Add(-time.Hour)))
	waits := enqueue(t, client, d, `{}`)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	failed := overdue(t, late)
	require.Zero(t, failed.Attempt)
	require.Contains(t, failed.Message, "deadline passed")
	require.Equal(t, "ready", rowOf(t, client, waits.ID()).State)
}

func TestRedrivenTaskHasNoDeadline(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return []byte(`"ran"`), nil }), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithRunAt(time.Now().Add(-time.Hour)), orchestrator.WithDeadline(time.Minute))
	overdue(t, ref)
	n, err := client.Redrive(t.Context(), orchestrator.DeadFilter{Codes: []orchestrator.Code{orchestrator.CodeDeadline}})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished WHERE state = 4", 1)
}

func TestDeadlineCountsFromRunAt(t *testing.T) {
	t.Parallel()
	d := variant("test:from_run_at", func(d *orchestrator.Definition) { d.Deadline = 2 * time.Hour })
	client := orchestratortest.Client(t)
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, e := range []orchestrator.Enqueuer{client, client.InTx(tx)} {
		for _, opts := range [][]orchestrator.EnqueueOption{nil, {orchestrator.WithIdempotencyKey("k")}} {
			opts = append(opts, orchestrator.WithDelay(24*time.Hour))
			if e != orchestrator.Enqueuer(client) && len(opts) > 1 {
				opts[0] = orchestrator.WithIdempotencyKey("another")
			}
			enqueue(t, e, d, `{}`, opts...)
		}
	}
	require.NoError(t, tx.Commit())
	require.Equal(t, 4, count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE deadline_at = run_at + interval '2 hours'"))
	enqueue(t, client, d, `{}`, orchestrator.WithDeadline(time.Minute))
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE deadline_at = run_at + interval '1 minute'"))
	enqueue(t, client, d, `{}`, orchestrator.WithDeadline(0))
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE deadline_at IS NULL"))
}

// A task that has its group's turn, and no worker free for it, gives the turn
// up when its deadline passes; one that waits for the turn has none to give.
func TestOverdueTaskGivesItsTurnUp(t *testing.T) {
	t.Parallel()
	d := ledger("")
	d.Queue = &orchestrator.Queue{Name: "one", PerWorker: 1}
	client := orchestratortest.Client(t)
	failing, slowly, fail, release := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	// In the lane from the start, so that it is claimed before the retry.
	plain := variant("test:plain", func(p *orchestrator.Definition) { p.Queue = d.Queue })
	run := func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		switch task.Metadata["is"] {
		case "failing":
			failing <- struct{}{}
			<-fail
			return nil, orchestrator.RetryAfter(10*time.Millisecond, errors.New("not now"))
		case "slow":
			slowly <- struct{}{}
			<-release
		}
		return nil, nil
	}
	mux := handle(d, run)
	mux.Handle(plain, orchestrator.HandlerFunc(run))
	startWorker(t, client, mux, orchestrator.WorkerConfig{CleanupInterval: 10 * time.Millisecond, HeartbeatInterval: 20 * time.Millisecond})
	is := func(what string) orchestrator.EnqueueOption {
		return orchestrator.WithMetadata(map[string]string{"is": what})
	}
	late := post(t, client, d, []posting{{"g", 1}}, is("failing"), orchestrator.WithDeadline(2*time.Second))
	<-failing
	slow := enqueue(t, client, plain, `{}`, is("slow"), orchestrator.WithPriority(1))
	close(fail)
	<-slowly // and so the retry finds no slot
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks t JOIN orchestrator.groups g ON g.key = t.group_key WHERE t.state = 0", 1)
	later := post(t, client, d, []posting{{"g", 2}, {"g", 3}}, orchestrator.WithDeadline(10*time.Millisecond))
	last := post(t, client, d, []posting{{"g", 4}})
	for _, ref := range append(late, later...) {
		overdue(t, ref)
	}
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks t JOIN orchestrator.groups g ON g.key = t.group_key WHERE t.state = 0", 1)
	close(release)
	for _, ref := range append(last, slow) {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
}

func TestOverdueTaskMayBlockItsGroup(t *testing.T) {
	t.Parallel()
	d := ledger("block")
	client := orchestratortest.Client(t)
	leadElsewhere(t, client)
	startWorker(t, client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	late := post(t, client, d, []posting{{"g", 1}}, orchestrator.WithRunAt(time.Now().Add(-time.Hour)), orchestrator.WithDeadline(time.Minute))
	next := post(t, client, d, []posting{{"g", 2}})
	overdue(t, late[0])
	eventually(t, client, "SELECT count(*) FROM orchestrator.groups WHERE blocked_by IS NOT NULL", 1)
	require.Equal(t, "blocked", rowOf(t, client, next[0].ID()).State)
	_, err := client.PurgeDead(t.Context(), orchestrator.DeadFilter{})
	require.NoError(t, err)
	_, err = result(t, next[0])
	require.NoError(t, err)
}
