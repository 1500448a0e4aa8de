package faults_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// 100,000 tasks of 10,000 groups and 10 hot ones, whose handlers fail in every
// way, while one process after another is killed. In each group, one task runs
// at a time, in the order of their enqueues, and all of them do.
func TestHundredThousandTasksOfGroups(t *testing.T) {
	long(t)
	const kills, groups, perGroup, hot, perHot = 12, 10_000, 8, 10, 2000
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	crew := harness.StartCrew(t, db, 3, "grouper", url)
	began := time.Now()
	var batch []orchestrator.Request
	var ids []orchestrator.TaskID
	for i := range perHot {
		for h := range hot {
			batch = append(batch, harness.Numbered{Key: fmt.Sprint("hot", h), Number: i}.Request(harness.Grouped))
		}
		const perTurn = groups * perGroup / perHot
		for n := i * perTurn; n < (i+1)*perTurn; n++ { // of one group after another
			batch = append(batch, harness.Numbered{Key: fmt.Sprint("g", n%groups), Number: n / groups}.Request(harness.Grouped))
		}
		if len(batch) >= 5000 {
			ids = append(ids, enqueue(t, client, batch)...)
			batch = nil
		}
	}
	ids = append(ids, enqueue(t, client, batch)...)
	const tasks = groups*perGroup + hot*perHot
	require.Len(t, ids, tasks)
	for kill := range kills {
		awaitFewer(t, db, tasks-kill*tasks/(kills+1))
		crew.KillOne(t)
		db.RequireTurns(t)
	}
	awaitFewer(t, db, 1)
	t.Logf("%d tasks of %d groups in %s, %d kills", len(ids), groups+hot, time.Since(began).Round(time.Second), kills)
	db.RequireNoTurns(t)
	crew.Stop(t)
	db.RequireEachEndedOnce(t, ids)
	t.Logf("%d attempts, %d dead", harness.Value[int](t, db, `SELECT count(*) FROM public.journal WHERE what = 'start'`),
		harness.Value[int](t, db, `SELECT count(*) FROM tasks_dead`))
	entries := harness.ReadJournal(t, db, harness.Grouped)
	delete(entries, "")
	require.Len(t, entries, groups+hot)
	for key, e := range entries {
		require.Equal(t, 1, e.Peak, key)
		require.IsIncreasing(t, e.Started, key)
		if key[0] == 'h' {
			require.Len(t, e.Started, perHot, key)
		} else {
			require.Len(t, e.Started, perGroup, key)
		}
	}
}

func enqueue(t *testing.T, client *orchestrator.Client, batch []orchestrator.Request) []orchestrator.TaskID {
	t.Helper()
	if len(batch) == 0 {
		return nil
	}
	refs, err := client.Enqueue(t.Context(), batch)
	require.NoError(t, err)
	return harness.IDs(refs)
}

// awaitFewer returns when fewer than n tasks are live. It waits for as long as
// tasks end.
func awaitFewer(t *testing.T, db *harness.Observer, n int) {
	t.Helper()
	for {
		left := harness.Value[int](t, db, `SELECT count(*) FROM tasks`)
		if left < n {
			return
		}
		db.AwaitTrue(t, `SELECT count(*) < $1 FROM tasks`, max(left-1000, n))
	}
}

// limiterProgram works types with limits, in next to no time and with failures.
func limiterProgram(ctx context.Context) error {
	client, journal, config, err := harness.OpenProgram(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	defer journal.Close()
	config.Logger = slog.New(strays{journal})
	harness.Say("ready")
	return orchestrator.NewWorker(client, harness.Mux(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		switch rand.IntN(200) {
		case 0, 1, 2, 3:
			return nil, errors.New("not now")
		case 4:
			return nil, orchestrator.Snooze(time.Millisecond)
		case 5:
			return nil, orchestrator.RetryAfter(0, errors.New("at once"))
		case 6:
			return nil, orchestrator.Permanent(errors.New("never"))
		case 7:
			return nil, orchestrator.Cancel(nil)
		case 8: // long enough to be cancelled
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
		}
		return nil, nil
	}, harness.LimitedByKey, harness.LimitedType), config).Run(ctx)
}

// strays notes in a journal that the leader has found turns or slots without a
// task, which none of what happens here may leave behind.
type strays struct{ journal *harness.Journal }

func (s strays) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "handed over turns of groups and slots of limits") {
		return s.journal.Note(ctx, "stray")
	}
	return nil
}

func (s strays) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }
func (s strays) WithAttrs([]slog.Attr) slog.Handler               { return s }
func (s strays) WithGroup(string) slog.Handler                    { return s }

// A million tasks with limits fail, are tried again, cancelled, expire, and
// lose their workers. At any time, the slots that are taken are those that live
// tasks have; at the end, none is.
func TestNoSlotLeaksInAMillionTasks(t *testing.T) {
	long(t)
	const rounds, perRound, keys = 20, 50_000, 100
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	crew := harness.StartCrew(t, db, 3, "limiter", url, "CLEANUP_INTERVAL=500ms")
	began, number := time.Now(), 0
	cancel := func(filter orchestrator.TaskFilter) {
		_, err := client.CancelTasks(t.Context(), filter, "of no use")
		require.NoError(t, err)
	}
	for round := range rounds {
		var picked []orchestrator.TaskID
		for range perRound / 5000 {
			batch := make([]orchestrator.Request, 5000)
			for i := range batch {
				number++
				var opts []orchestrator.EnqueueOption
				if number%50 == 0 {
					opts = append(opts, orchestrator.WithTTL(rand.N(time.Second)+time.Millisecond))
				}
				d, key := harness.LimitedByKey, fmt.Sprint("k", number%keys)
				if number%25 == 0 {
					d = harness.LimitedType
				}
				batch[i] = harness.Numbered{Key: key, Number: number}.Request(d, opts...)
			}
			for i, id := range enqueue(t, client, batch) {
				if i%50 == 1 {
					picked = append(picked, id)
				}
			}
		}
		cancel(orchestrator.TaskFilter{IDs: picked}) // some wait, some run, some have ended
		cancel(orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Running}})
		awaitFewer(t, db, perRound/2)
		crew.KillOne(t)
		db.RequireSlots(t)
		t.Logf("round %d after %s", round, time.Since(began).Round(time.Second))
	}
	awaitFewer(t, db, 1)
	t.Logf("%d tasks in %s, %d kills", number, time.Since(began).Round(time.Second), rounds)
	db.RequireNoTurns(t)
	crew.Stop(t)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM public.journal WHERE what = 'stray'`), "the leader has found slots without a task")
	ended := map[string]int{}
	for _, state := range []string{"succeeded", "cancelled", "expired", "dead"} {
		ended[state] = harness.Value[int](t, db, `SELECT count(*) FROM all_tasks WHERE place <> 'live' AND state = $1`, state)
		require.NotZero(t, ended[state], state)
		ended["in all"] += ended[state]
	}
	again := harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE attempts > 1`)
	require.NotZero(t, again)
	t.Log(ended, "tried again:", again)
	require.Equal(t, number, ended["in all"])
	require.Equal(t, number, harness.Value[int](t, db, `SELECT count(DISTINCT id) FROM all_tasks WHERE place <> 'live'`))
}
