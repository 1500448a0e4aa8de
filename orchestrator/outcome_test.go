package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// storedError is an element of a task's errors column.
type storedError struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Stack   string    `json:"stack"`
}

// row is what the database says of one task.
type row struct {
	State    string
	Attempts int
	Errors   []storedError
}

func rowOf(t *testing.T, client *orchestrator.Client, id orchestrator.TaskID) row {
	t.Helper()
	var r row
	var errs []byte
	err := client.DB().NewRaw("SELECT state, attempts, coalesce(errors, '[]') FROM orchestrator.all_tasks WHERE id = ?", int64(id)).
		Scan(t.Context(), &r.State, &r.Attempts, &errs)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(errs, &r.Errors))
	return r
}

// handle registers f for the definition d on a mux of its own.
func handle(d *orchestrator.Definition, f orchestrator.HandlerFunc) *orchestrator.Mux {
	mux := orchestrator.NewMux()
	mux.Handle(d, f)
	return mux
}

// variant is echo with another name and policy.
func variant(name string, change func(*orchestrator.Definition)) *orchestrator.Definition {
	d := *echo
	d.Name, d.Fingerprint = name, "v1:"+name
	change(&d)
	return &d
}

func TestPermanentErrorEndsInTheDeadLetters(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		return nil, orchestrator.Permanent(errors.New("no such account"))
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`)
	_, err := result(t, ref)
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, orchestrator.Dead, failed.State)
	require.Equal(t, 1, failed.Attempt)
	require.Equal(t, "no such account", failed.Message)
	require.Equal(t, "dead", rowOf(t, client, ref.ID()).State)
}

func TestGiveUpOnCodeEndsInTheDeadLetters(t *testing.T) {
	t.Parallel()
	const refused orchestrator.Code = "address_rejected"
	d := variant("test:give_up", func(d *orchestrator.Definition) { d.Retry.GiveUpOn = []orchestrator.Code{refused} })
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		return nil, fmt.Errorf("smtp: %w: %w", refused, errors.New("550 unknown user"))
	}), orchestrator.WorkerConfig{})
	_, err := result(t, enqueue(t, client, d, `{}`))
	require.ErrorIs(t, err, refused)
	require.NotErrorIs(t, err, orchestrator.Code("other"))
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 1, failed.Attempt)
}

func TestAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	var calls atomic.Int32
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if int(calls.Add(1)) != task.Attempt {
			return nil, orchestrator.Permanent(errors.New("attempt numbers have a gap"))
		}
		return nil, fmt.Errorf("failure %d of %d", task.Attempt, task.MaxAttempts)
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithMaxAttempts(3))
	_, err := result(t, ref)
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 3, failed.Attempt)
	require.Equal(t, int32(3), calls.Load())
	errs := rowOf(t, client, ref.ID()).Errors
	require.Len(t, errs, 3)
	for i, e := range errs {
		require.Equal(t, i+1, e.Attempt)
		require.Equal(t, fmt.Sprintf("failure %d of 3", i+1), e.Message)
		require.False(t, e.At.IsZero())
	}
}

func TestPanicIsAFailedAttemptWithItsStack(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, panickingHandler), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithMaxAttempts(1))
	_, err := result(t, ref)
	require.ErrorIs(t, err, orchestrator.CodePanic)
	errs := rowOf(t, client, ref.ID()).Errors
	require.Len(t, errs, 1)
	require.Equal(t, "panic: boom", errs[0].Message)
	require.Contains(t, errs[0].Stack, "panickingHandler")
}

func panickingHandler(context.Context, *orchestrator.Raw) ([]byte, error) { panic("boom") }

func TestTimeoutCancelsTheAttempt(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	causes := make(chan error, 1)
	startWorker(t, client, handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	}), orchestrator.WorkerConfig{})
	_, err := result(t, enqueue(t, client, echo, `{}`, orchestrator.WithTimeout(20*time.Millisecond), orchestrator.WithMaxAttempts(1)))
	require.ErrorIs(t, err, orchestrator.CodeTimeout)
	require.ErrorIs(t, <-causes, orchestrator.ErrTimeout)
}

func TestSnoozeSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	var calls atomic.Int32
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if calls.Add(1) < 4 {
			return nil, orchestrator.Snooze(time.Millisecond)
		}
		return json.Marshal(task.Attempt)
	}), orchestrator.WorkerConfig{})
	got, err := result(t, enqueue(t, client, echo, `{}`, orchestrator.WithMaxAttempts(1)))
	require.NoError(t, err)
	require.Equal(t, "1", got)
}

func TestRetryAfterOverridesThePolicy(t *testing.T) {
	t.Parallel()
	slow := variant("test:slow_retry", func(d *orchestrator.Definition) {
		d.Retry = orchestrator.RetryPolicy{BaseDelay: time.Hour, Jitter: orchestrator.NoJitter}
	})
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(slow, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt == 1 {
			return nil, orchestrator.RetryAfter(time.Millisecond, errors.New("busy"))
		}
		return json.Marshal(task.Attempt)
	}), orchestrator.WorkerConfig{})
	got, err := result(t, enqueue(t, client, slow, `{}`))
	require.NoError(t, err)
	require.Equal(t, "2", got)
}

func TestCancelEndsTheTaskAsCancelled(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		return nil, orchestrator.Cancel(errors.New("the order was withdrawn"))
	}), orchestrator.WorkerConfig{})
	_, err := result(t, enqueue(t, client, echo, `{}`))
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, orchestrator.Cancelled, failed.State)
	require.Equal(t, "the order was withdrawn", failed.Message)
}

func TestTaskExpiresUnlessItStartsInTime(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	// Expired before any worker is there, so nothing has to be timed.
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithRunAt(time.Now().Add(-time.Hour)), orchestrator.WithTTL(time.Minute))
	kept := enqueue(t, client, echo, `{}`, orchestrator.WithTTL(time.Hour))
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	_, err := result(t, ref)
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, orchestrator.Expired, failed.State)
	require.Zero(t, failed.Attempt)
	_, err = result(t, kept)
	require.NoError(t, err)
}

func TestDelayedTaskWaits(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	var order atomic.Value
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if !task.ScheduledFor.After(task.EnqueuedAt) {
			return nil, errors.New("not scheduled for later")
		}
		order.Store(true)
		return nil, nil
	}), orchestrator.WorkerConfig{})
	ref := enqueue(t, client, echo, `{}`, orchestrator.WithDelay(300*time.Millisecond), orchestrator.WithMaxAttempts(1))
	_, err := result(t, ref)
	require.NoError(t, err)
	var waited bool
	require.NoError(t, client.DB().NewRaw(
		"SELECT claimed_at >= scheduled_for AND scheduled_for = enqueued_at + interval '300 ms' FROM orchestrator.tasks_finished WHERE id = ?", int64(ref.ID())).
		Scan(t.Context(), &waited))
	require.True(t, waited)
}

// An error text that PostgreSQL refuses must not hold up its task or others.
func TestHostileErrorTextIsStored(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if string(task.Payload) == `{"bad": true}` {
			return nil, orchestrator.Permanent(errors.New("nul \x00, half a rune \xc3, and \u2028"))
		}
		return []byte(`{}`), nil
	}), orchestrator.WorkerConfig{})
	bad := enqueue(t, client, echo, `{"bad": true}`)
	good := enqueue(t, client, echo, `{}`)
	_, err := result(t, good)
	require.NoError(t, err)
	_, err = result(t, bad)
	var failed *orchestrator.TaskError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "nul \uFFFD, half a rune \uFFFD, and \u2028", failed.Message)
}

// A result that PostgreSQL refuses ends its own task alone: the batch it was
// finished in is halved until it is found.
func TestRefusedResultEndsItsTaskAlone(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	refs := make([]orchestrator.TaskRef, 50)
	for i := range refs {
		payload := `{}`
		if i == 25 {
			payload = `{"bad": true}`
		}
		refs[i] = enqueue(t, client, echo, payload)
	}
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if string(task.Payload) != `{}` {
			return []byte(`{not json`), nil
		}
		return []byte(`{}`), nil
	}), orchestrator.WorkerConfig{})
	for i, ref := range refs {
		_, err := result(t, ref)
		if i == 25 {
			require.ErrorIs(t, err, orchestrator.Code("outcome_refused"))
		} else {
			require.NoError(t, err)
		}
	}
}

// Somebody locks rows whose tasks are running, as another worker's claim does in
// passing. Nobody else waits for them, and they are finished when they are free.
func TestLockedRowsAreFinishedLater(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	refs := make([]orchestrator.TaskRef, 20)
	for i := range refs {
		refs[i] = enqueue(t, client, echo, `{"locked": true}`)
	}
	started, release := make(chan struct{}, len(refs)), make(chan struct{})
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if string(task.Payload) != `{}` {
			started <- struct{}{}
			<-release
		}
		return []byte(`1`), nil
	}), orchestrator.WorkerConfig{})
	for range refs {
		<-started
	}
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.NewRaw("SELECT FROM orchestrator.tasks FOR UPDATE").Exec(t.Context())
	require.NoError(t, err)
	close(release)
	_, err = result(t, enqueue(t, client, echo, `{}`))
	require.NoError(t, err)
	for _, ref := range refs {
		info, err := client.TaskInfo(t.Context(), ref.ID())
		require.NoError(t, err)
		require.Equal(t, orchestrator.Running, info.State)
	}
	require.NoError(t, tx.Commit())
	await(t, refs)
}

// History takes the most room, so on a full disk it is what cannot grow while
// tasks are still enqueued and claimed. None of them is lost or runs twice.
func TestFullDiskPutsOffTheEndsOfTasks(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	_, err := client.DB().ExecContext(t.Context(), `
		CREATE SEQUENCE tries; -- which no rollback takes back
		CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM nextval('tries');
			RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON orchestrator.tasks_finished FOR EACH ROW EXECUTE FUNCTION full_disk()`)
	require.NoError(t, err)
	const tasks = 2
	var runs atomic.Int32
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		runs.Add(1)
		return nil, nil
	}), orchestrator.WorkerConfig{})
	enqueueMany(t, client, echo, tasks)
	comesTrue(t, func() bool { return count(t, client, "SELECT last_value FROM tries") > 3*tasks }, "more tries than it takes to try each alone")
	require.Equal(t, tasks, count(t, client, "SELECT count(*) FROM orchestrator.tasks WHERE state = 1"))
	_, err = client.DB().ExecContext(t.Context(), "DROP TRIGGER full_disk ON orchestrator.tasks_finished")
	require.NoError(t, err)
	eventually(t, client, "SELECT count(*) FROM orchestrator.tasks_finished WHERE state = 4 AND attempts = 1", tasks)
	require.EqualValues(t, tasks, runs.Load())
}

func TestResultOfAnUnknownTaskIsNotFound(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := result(t, client.Lookup(echo, 4711))
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
}

func TestLookupChecksTheType(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) { return []byte(`1`), nil }), orchestrator.WorkerConfig{})
	id := enqueue(t, client, echo, `{}`).ID()
	got, err := result(t, client.Lookup(echo, id))
	require.NoError(t, err)
	require.Equal(t, "1", got)
	_, err = result(t, client.Lookup(variant("test:other", func(*orchestrator.Definition) {}), id))
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
	require.ErrorContains(t, err, "is a test:echo, not a test:other")
}

func TestWaitingForAResultEndsWithTheContext(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	ref := enqueue(t, client, echo, `{}`)
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	cancel(gaveUp)
	h := orchestrator.Handle[string]{TaskRef: ref, Decode: func(b []byte) (string, error) { return string(b), nil }}
	_, err := h.Result(ctx)
	require.ErrorIs(t, err, gaveUp)
}

func TestResultsComeInTheOrderOfTheHandles(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	startWorker(t, client, handle(echo, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if string(task.Payload) == `{"n": 7}` {
			return nil, orchestrator.Permanent(errors.New("seven"))
		}
		return task.Payload, nil
	}), orchestrator.WorkerConfig{})
	batch := make([]orchestrator.Request, 6000) // more than are awaited at a time
	for i := range batch {
		batch[i] = orchestrator.Request{Definition: echo, Payload: fmt.Appendf(nil, `{"n": %d}`, i)}
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	handles := make([]orchestrator.Handle[string], len(refs))
	for i, ref := range refs {
		handles[i] = orchestrator.Handle[string]{TaskRef: ref, Decode: func(b []byte) (string, error) { return string(b), nil }}
	}
	i := 0
	for got, err := range orchestrator.Results(t.Context(), handles) {
		if i == 7 {
			require.ErrorContains(t, err, "seven")
		} else {
			require.NoError(t, err)
			require.Equal(t, string(batch[i].Payload), got)
		}
		i++
	}
	require.Len(t, handles, i)

	for _, err := range orchestrator.Results(t.Context(), handles) {
		require.NoError(t, err)
		break // the others are not waited for any more
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waiting := []orchestrator.Handle[string]{{TaskRef: enqueue(t, client, echo, `{}`, orchestrator.WithDelay(time.Hour))}}
	for _, err := range orchestrator.Results(ctx, waiting) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestUnmigratedDatabaseSaysWhatToDoWhenEnqueueing(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.Migrator().Down(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, tryEnqueue(t.Context(), client, echo, `{}`), "orchestrator migrate up")
}
