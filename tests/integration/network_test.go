package integration_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// Everything that is connected is cut off, again and again, by the server and
// by the network.
func TestCutConnectionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client, worker := harness.Open(t, proxied), harness.Open(t, proxied)
	stop := harness.StartWorker(t, worker, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())

	db.AwaitTrue(t, registered)

	load := harness.StartLoad(t, client, 8)
	for range 10 {
		load.AwaitMore(t, 50)
		require.NoError(t, db.CutEverything(t.Context()))
		load.AwaitMore(t, 50)
		proxy.Cut()
	}
	acknowledged, failed := load.Stop()
	t.Logf("%d acknowledged, %d failed", len(acknowledged), failed)
	db.AwaitDrained(t)
	stop()
	db.RequireAtLeastDoneOnce(t, acknowledged)
}

// Every so often the database does what it was asked and the answer is lost:
// of claims, finishes, heartbeats, enqueues alike.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client, worker := harness.Open(t, url), harness.Open(t, proxied)
	stop := harness.StartWorker(t, worker, failing(harness.Echo), harness.Brisk())

	load := harness.StartLoad(t, client, 1)
	load.AwaitMore(t, 1) // so that the contract is stored
	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM tasks_finished)`)
	proxy.LoseAnswers(harness.Every(7))
	harness.Await(t, "lost answers", func() bool { return proxy.Lost() >= 30 })
	proxy.LoseAnswers(nil)
	acknowledged, failed := load.Stop()
	require.Zero(t, failed)
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, acknowledged)
}

// As before, of what hands over the turns of groups and claims the next tasks: the
// statement that ends a task, and the transaction that gives arrivals their turns.
func TestLostAnswersOfHandOvers(t *testing.T) {
	t.Parallel()
	const groups, each = 20, 5
	has := func(request []byte, part string) bool { return bytes.Contains(request, []byte(part)) }
	for name, loses := range map[string]func(request []byte) bool{
		"end":     func(request []byte) bool { return has(request, "gone AS") && has(request, "unsettled AS") },
		"arrival": harness.Commits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			db := harness.Observe(t, url)
			proxy, proxied := harness.NewProxy(t, url)
			asText := orchestrator.ClientConfig{TransactionPooler: true} // each request has the text of its statement
			client, worker := harness.Open(t, url), harness.Open(t, proxied, asText)
			stop := harness.StartWorker(t, worker, failing(harness.Grouped), harness.Brisk())
			var acknowledged []orchestrator.TaskID
			add := func() {
				var batch []orchestrator.Request
				for n := range each {
					for g := range groups {
						batch = append(batch, harness.Numbered{Key: strconv.Itoa(g), Number: n}.Request(harness.Grouped))
					}
				}
				refs, err := client.Enqueue(t.Context(), batch)
				require.NoError(t, err)
				acknowledged = append(acknowledged, harness.IDs(refs)...)
			}
			add()
			db.AwaitDrained(t)
			third := harness.Every(3)
			proxy.LoseAnswers(func(request []byte) bool { return loses(request) && third(request) })
			for proxy.Lost() < 10 {
				add()
				db.AwaitDrained(t)
			}
			db.RequireNoTurns(t)
			stop()
			db.RequireEachDoneOnce(t, acknowledged)
		})
	}
}

// failing is a mux whose handler fails the first attempt of every third task.
func failing(d *orchestrator.Definition) *orchestrator.Mux {
	return harness.Mux(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.ID%3 == 0 && task.Attempt == 1 {
			return nil, errors.New("not yet")
		}
		return task.Payload, nil
	}, d)
}

// The connection breaks when COMMIT was sent. The caller is told that the
// outcome is unknown; with an idempotency key it just tries again.
func TestEnqueueAgainAfterAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client := harness.Open(t, proxied)
	_, err := client.Enqueue(t.Context(), keyed(harness.Keyed, "warm up"))
	require.NoError(t, err)

	const keys = 20
	for i := range keys {
		request := keyed(harness.Keyed, strconv.Itoa(i))
		proxy.LoseAnswers(harness.Commits)
		_, err := client.Enqueue(t.Context(), request)
		require.Error(t, err)
		require.Equal(t, i+1, proxy.Lost())
		proxy.LoseAnswers(nil)
		refs, err := client.Enqueue(t.Context(), request)
		require.NoError(t, err)
		require.True(t, refs[0].Existing(), "the first try was committed")
	}
	require.Equal(t, keys+1, harness.Value[int](t, db, `SELECT count(*) FROM tasks`))
}

// Enqueues that share a commit whose answer is lost all get an error; none is
// told that it succeeded, none waits for ever.
func TestUnknownOutcomeOfASharedCommitIsAnErrorForAll(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	proxy, proxied := harness.NewProxy(t, url)
	client := harness.Open(t, proxied)
	harness.Enqueue(t, client, harness.Echo, 1) // stores the contract
	proxy.LoseAnswers(func([]byte) bool { return true })
	var all sync.WaitGroup
	errs := make([]error, callers)
	for i := range errs {
		all.Go(func() { _, errs[i] = client.Enqueue(t.Context(), harness.Requests(harness.Echo, i, 1)) })
	}
	all.Wait()
	for _, err := range errs {
		require.Error(t, err)
	}
	proxy.LoseAnswers(nil)
	harness.Enqueue(t, client, harness.Echo, 1)
}

// A worker is cut off for longer than its lease, and tasks that it was running
// are run by another. What it sent before arrives afterwards and changes
// nothing.
func TestPartitionedWorkerLosesItsTasks(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client, partitioned := harness.Open(t, url), harness.Open(t, proxied)
	short := harness.Brisk()
	short.WorkerTimeout = time.Second
	began := make(chan struct{}, 100)
	causes := make(chan error, 100)
	stop := harness.StartWorker(t, partitioned, harness.Mux(func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return []byte(`"stale"`), nil
	}, harness.Echo), short)
	ids := harness.Enqueue(t, client, harness.Echo, 5)
	for range ids {
		harness.Receive(t, "a task to begin", began)
	}
	proxy.Isolate()
	for range ids {
		// Before the lease is over in the database, and without its help.
		require.ErrorIs(t, harness.Receive(t, "a cancelled handler", causes), orchestrator.ErrLeaseLost)
	}
	other := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	db.AwaitDrained(t)
	other()
	proxy.Thaw()
	stop()
	db.RequireEachDoneOnce(t, ids)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE result #>> '{}' = 'stale'`))
}

// A claim fails, and the worker looks for what it may have taken all the same.
// Then it lands: the network had held it back. What it took is found later and
// given back.
func TestClaimThatLandsLateIsGivenBack(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	// The first claim fails. A sequence does not roll back, so it tells which.
	db.Exec(t, `CREATE SEQUENCE lost`)
	db.Exec(t, `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NOT (SELECT is_called FROM orchestrator.lost) THEN
				PERFORM setval('orchestrator.lost', NEW.claim);
				RAISE EXCEPTION 'lost';
			END IF;
			RETURN NEW;
		END $$`)
	db.Exec(t, `CREATE TRIGGER lose BEFORE UPDATE ON tasks FOR EACH ROW WHEN (NEW.state = 1) EXECUTE FUNCTION lose()`)
	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	ids := harness.Enqueue(t, client, harness.Echo, 1)
	db.AwaitDrained(t)
	late := harness.Value[int64](t, db, `
		INSERT INTO tasks (contract, priority, queue, payload, state, worker_id, claim, claimed_at)
		SELECT contract, priority, queue, payload, 1, worker_id, (SELECT last_value FROM lost), now() FROM tasks_finished
		RETURNING id`)
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, append(ids, orchestrator.TaskID(late)))
}
