package integration_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

const callers = 64

// atOnce enqueues the same key from many goroutines at the same moment. A
// DuplicateError counts as finding the task that it names.
func atOnce(ctx context.Context, client *orchestrator.Client, d *orchestrator.Definition, key string) (found []duplicate, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	start := make(chan struct{})
	for range callers {
		all.Go(func() {
			<-start
			refs, enqueueErr := client.Enqueue(ctx, keyed(d, key))
			mu.Lock()
			defer mu.Unlock()
			var taken *orchestrator.DuplicateError
			switch {
			case errors.As(enqueueErr, &taken):
				found = append(found, duplicate{int64(taken.ID), true})
			case enqueueErr != nil:
				err = errors.Join(err, enqueueErr)
			default:
				found = append(found, duplicate{int64(refs[0].ID()), refs[0].Existing()})
			}
		})
	}
	close(start)
	all.Wait()
	return found, err
}

func keyed(d *orchestrator.Definition, keys ...string) []orchestrator.Request {
	batch := make([]orchestrator.Request, len(keys))
	for i, key := range keys {
		batch[i] = orchestrator.Request{Definition: d, Payload: []byte(`{}`), IdempotencyKey: key}
	}
	return batch
}

// enqueuerProgram enqueues one key when its standard output has been read.
func enqueuerProgram(ctx context.Context) error {
	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	// Both processes begin when the test lets go of a lock that they share.
	if _, err := client.DB().ExecContext(ctx, `SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)`); err != nil {
		return err
	}
	found, err := atOnce(ctx, client, harness.Keyed, "one")
	if err != nil {
		return err
	}
	for _, one := range found {
		harness.Say("found %s", one)
	}
	return nil
}

// requireOneTask checks that exactly one of the callers made the task and all
// the others found it.
func requireOneTask(t *testing.T, db *harness.Observer, found []duplicate, calls int) {
	t.Helper()
	require.Len(t, found, calls)
	id := harness.Value[int64](t, db, `SELECT id FROM tasks`) // fails when there are none; the next line, when more
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT count(*) FROM tasks`))
	fresh := 0
	for _, one := range found {
		require.Equal(t, id, one.id)
		if !one.existing {
			fresh++
		}
	}
	require.Equal(t, 1, fresh, "callers who made the task")
}

func TestOneKeyFromManyGoroutinesIsOneTask(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*orchestrator.Definition{"existing": harness.Keyed, "reject": harness.KeyedOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			found, err := atOnce(t.Context(), harness.Open(t, url), d, "one")
			require.NoError(t, err)
			requireOneTask(t, harness.Observe(t, url), found, callers)
		})
	}
}

func TestOneKeyFromTwoProcessesIsOneTask(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	gate, err := db.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer gate.Release()
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_lock(1)`)
	require.NoError(t, err)

	processes := []*harness.Process{
		harness.Start(t, "enqueuer", "DATABASE_URL="+url),
		harness.Start(t, "enqueuer", "DATABASE_URL="+url),
	}
	db.AwaitTrue(t, `SELECT count(*) = $1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (
		SELECT oid FROM pg_database WHERE datname = current_database())`, len(processes))
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_unlock(1)`)
	require.NoError(t, err)

	var found []duplicate
	for _, p := range processes {
		for range callers {
			id, existing, _ := strings.Cut(p.Expect(t, "found"), " ")
			was, err := strconv.ParseBool(existing)
			require.NoError(t, err)
			found = append(found, duplicate{int64(number(id)), was})
		}
		require.NoError(t, p.Wait())
	}
	requireOneTask(t, db, found, len(processes)*callers)
}

// Batches that hold the same keys in opposite orders, each key twice.
func TestBatchesWithTheSameKeys(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	client, db := harness.Open(t, url), harness.Observe(t, url)
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = strconv.Itoa(i % 50)
	}
	backwards := make([]string, len(keys))
	for i, key := range keys {
		backwards[len(keys)-1-i] = key
	}
	var all sync.WaitGroup
	answers, errs := make([][]orchestrator.TaskRef, 16), make([]error, 16)
	for i := range answers {
		all.Go(func() {
			order := keys
			if i%2 == 1 {
				order = backwards
			}
			answers[i], errs[i] = client.Enqueue(t.Context(), keyed(harness.Keyed, order...))
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))

	byKey, fresh := map[string]orchestrator.TaskID{}, 0
	for i, refs := range answers {
		for n, ref := range refs {
			key := keys[n]
			if i%2 == 1 {
				key = backwards[n]
			}
			if id, seen := byKey[key]; seen {
				require.Equal(t, id, ref.ID(), "key %s", key)
			}
			byKey[key] = ref.ID()
			if !ref.Existing() {
				fresh++
			}
		}
	}
	require.Len(t, byKey, 50)
	require.Equal(t, 50, fresh)
	require.Equal(t, 50, harness.Value[int](t, db, `SELECT count(*) FROM tasks`))
}

// A batch of a type that rejects duplicates is stored as a whole or not at all.
func TestBatchWithARejectedKeyStoresNothing(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	client, db := harness.Open(t, url), harness.Observe(t, url)
	first, err := client.Enqueue(t.Context(), keyed(harness.KeyedOnce, "b"))
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), keyed(harness.KeyedOnce, "a", "b", "c"))
	var taken *orchestrator.DuplicateError
	require.ErrorAs(t, err, &taken)
	require.Equal(t, first[0].ID(), taken.ID)
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT count(*) FROM tasks`))
	require.Equal(t, 1, harness.Value[int](t, db, `SELECT count(*) FROM idempotency_keys`))
}

// A transaction of the user's that stays open over a key makes others wait for
// that key, and nobody else: not enqueues without one, not a worker that shares
// the client's connections.
func TestKeyHeldByAnOpenTransactionDelaysOnlyItsOwn(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	client, db := harness.Open(t, url), harness.Observe(t, url)
	tx, err := client.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	held, err := client.InTx(tx).Enqueue(t.Context(), keyed(harness.Keyed, "one"))
	require.NoError(t, err)

	type answer struct {
		found []duplicate
		err   error
	}
	waiting := make(chan answer, 1)
	go func() {
		found, err := atOnce(t.Context(), client, harness.Keyed, "one")
		waiting <- answer{found, err}
	}()
	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%idempotency_keys%')`)

	harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	for range 20 {
		refs, err := client.Enqueue(t.Context(), harness.Requests(harness.Echo, 0, 1))
		require.NoError(t, err)
		_, err = client.WaitResult(t.Context(), refs[0])
		require.NoError(t, err)
	}
	select {
	case <-waiting:
		require.Fail(t, "the key was not waited for")
	default:
	}
	require.NoError(t, tx.Commit())
	a := harness.Receive(t, "those who waited for the key", waiting)
	require.NoError(t, a.err)
	for _, one := range a.found {
		require.Equal(t, duplicate{int64(held[0].ID()), true}, one)
	}
}
