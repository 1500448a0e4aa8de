package integration_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// enqueueInRounds enqueues tasks in batches, and kills a worker process in the
// middle of each. It returns when all have ended, those of ids too.
func enqueueInRounds(t *testing.T, db *harness.Observer, client *orchestrator.Client, crew *harness.Crew, ids []orchestrator.TaskID, rounds [][]orchestrator.Request) {
	t.Helper()
	for _, batch := range rounds {
		refs, err := client.Enqueue(t.Context(), batch)
		require.NoError(t, err)
		ids = append(ids, harness.IDs(refs)...)
		db.AwaitTrue(t, `SELECT count(*) < $1 FROM tasks`, len(batch)/2)
		crew.KillOne(t)
		db.RequireTurns(t)
		db.RequireSlots(t)
	}
	db.AwaitDrained(t)
	db.RequireNoTurns(t)
	crew.Stop(t)
	db.RequireEachEndedOnce(t, ids)
}

// Three processes work groups, handlers fail in every way, and one process
// after another is killed. In each group, one task runs at a time, in the order
// of their enqueues, and all of them do.
func TestGroupsKeepTheirOrderWhenWorkersAreKilled(t *testing.T) {
	t.Parallel()
	const rounds, groups, hot, inHot = 3, 100, 3, 20
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	crew := harness.StartCrew(t, db, 3, "grouper", url)
	definitions := []*orchestrator.Definition{harness.Grouped, harness.GroupedLimited}
	var batches [][]orchestrator.Request
	for round := range rounds {
		var batch []orchestrator.Request
		for _, d := range definitions {
			for i := range inHot {
				for h := range hot {
					batch = append(batch, harness.Numbered{Key: fmt.Sprint("hot", h), Number: round*inHot + i}.Request(d))
				}
			}
			for g := range groups {
				batch = append(batch, harness.Numbered{Key: fmt.Sprint("g", g), Number: 2 * round}.Request(d), harness.Numbered{Key: fmt.Sprint("g", g), Number: 2*round + 1}.Request(d))
			}
		}
		batches = append(batches, batch)
	}
	enqueueInRounds(t, db, client, crew, nil, batches)
	for _, d := range definitions {
		entries := harness.ReadJournal(t, db, d)
		together := entries[""].Peak
		t.Logf("%s: %d groups ran at the same time", d.Name, together)
		if d.Concurrency != nil {
			require.LessOrEqual(t, together, d.Concurrency.Total)
		}
		delete(entries, "")
		require.Len(t, entries, groups+hot)
		for key, e := range entries {
			require.Equal(t, 1, e.Peak, key)
			require.IsIncreasing(t, e.Started, key)
			if key[0] == 'h' {
				require.Len(t, e.Started, rounds*inHot, key)
			} else {
				require.Len(t, e.Started, 2*rounds, key)
			}
		}
	}
}

// Three processes work types with limits, handlers fail in every way, and one
// process after another is killed. No limit is exceeded, each is reached, and
// no slot is lost.
func TestLimitsHoldWhenWorkersAreKilled(t *testing.T) {
	t.Parallel()
	const rounds, keys, perKey, perType = 3, 5, 40, 100
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	crew := harness.StartCrew(t, db, 3, "limiter", url)
	// As many as a limit allows wait for each other.
	var meeting []orchestrator.Request
	for range 4 {
		meeting = append(meeting, harness.Numbered{Key: "all", Number: -4}.Request(harness.LimitedType))
	}
	for k := range keys {
		for range 3 {
			meeting = append(meeting, harness.Numbered{Key: fmt.Sprint("k", k), Number: -3}.Request(harness.LimitedByKey))
		}
	}
	met, err := client.Enqueue(t.Context(), meeting)
	require.NoError(t, err)
	db.AwaitDrained(t)

	batches := make([][]orchestrator.Request, rounds)
	for round := range batches {
		add := func(d *orchestrator.Definition, key string, n int) {
			batches[round] = append(batches[round], harness.Numbered{Key: key, Number: n}.Request(d, orchestrator.WithPriority(rand.IntN(3))))
		}
		for i := range perType {
			add(harness.LimitedType, "all", i)
		}
		for i := range perKey {
			for k := range keys {
				add(harness.LimitedByKey, fmt.Sprint("k", k), i)
			}
		}
	}
	enqueueInRounds(t, db, client, crew, harness.IDs(met), batches)
	require.Equal(t, 4, harness.ReadJournal(t, db, harness.LimitedType)["all"].Peak)
	entries := harness.ReadJournal(t, db, harness.LimitedByKey)
	delete(entries, "")
	require.Len(t, entries, keys)
	for key, e := range entries {
		require.Equal(t, 3, e.Peak, key)
	}
}
