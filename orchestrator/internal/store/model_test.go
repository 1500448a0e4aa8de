package store

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"pgregory.net/rapid"
)

// machine runs random statements of two or more workers, stale ones among
// them, beside a model that knows who holds what.
type machine struct {
	store   *Store
	pool    *pgxpool.Pool
	workers []int64          // alive
	live    map[int64]modelT // by task
	done    map[int64]int16  // attempts of finished tasks
	dead    map[int64]int16
	fences  []Fence // of every claim there ever was: most are stale
	claims  int64
}

// modelT is a live task. The zero Fence says that nobody holds it.
type modelT struct {
	fence    Fence
	attempts int16
	suspect  bool
	started  bool
	sublane  string
}

const modelMaxAttempts = 3

func (m *machine) register(t *rapid.T) {
	m.claims++
	_, err := m.store.Register(t.Context(), Worker{ID: m.claims, Lease: time.Hour, Queues: []string{"q"}})
	require.NoError(t, err)
	m.workers = append(m.workers, m.claims)
}

func (m *machine) insert(t *rapid.T) {
	sublane := drawSublane(t)
	rows, err := m.store.Insert(t.Context(), slices.Repeat([]NewTask{{Contract: 1, Type: "t", Queue: "q", Sublane: sublane, Payload: "{}"}},
		rapid.IntRange(1, 3).Draw(t, "tasks")))
	require.NoError(t, err)
	for _, row := range rows {
		m.live[row.ID] = modelT{sublane: sublane}
	}
}

func drawSublane(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "t"}).Draw(t, "sublane")
}

func (m *machine) claim(t *rapid.T) {
	if len(m.workers) == 0 {
		t.Skip("no workers")
	}
	m.claims++
	worker, limit := rapid.SampledFrom(m.workers).Draw(t, "worker"), rapid.IntRange(1, 4).Draw(t, "limit")
	lane := LaneKey{Queue: "q", Sublane: drawSublane(t)}
	tasks, _, err := m.store.Claim(t.Context(), ClaimRequest{
		Lanes: []Lane{{LaneKey: lane, Want: int32(limit)}}, Limit: limit, Worker: worker, Claim: m.claims, Known: 1, Foreign: []int32{},
	})
	require.NoError(t, err)
	free := 0
	for _, task := range m.live {
		if task.fence == (Fence{}) && task.sublane == lane.Sublane {
			free++
		}
	}
	require.Len(t, tasks, min(free, limit))
	for _, task := range tasks {
		held := m.live[task.ID]
		require.Equal(t, modelT{attempts: task.Attempts, suspect: task.Suspect, sublane: task.Sublane}, held, "claimed task %d", task.ID)
		held.fence = Fence{task.ID, worker, m.claims}
		m.live[task.ID] = held
		m.fences = append(m.fences, held.fence)
	}
}

// fence draws one that may have gone stale, and tells whether it holds.
func (m *machine) fence(t *rapid.T) (Fence, modelT, bool) {
	if len(m.fences) == 0 {
		t.Skip("no claims")
	}
	f := rapid.SampledFrom(m.fences).Draw(t, "fence")
	task, live := m.live[f.ID]
	return f, task, live && task.fence == f
}

// requireOnly checks that a statement changed the task exactly if its fence held.
func requireOnly(t *rapid.T, ids []int64, err error, f Fence, held bool) {
	require.NoError(t, err)
	if held {
		require.Equal(t, []int64{f.ID}, ids)
	} else {
		require.Empty(t, ids, "a stale fence was accepted")
	}
}

func (m *machine) finish(t *rapid.T) {
	f, task, held := m.fence(t)
	ids, err := m.store.Finish(t.Context(), []*Finished{{Fence: f, State: StateSucceeded, Attempts: task.attempts + 1, Kept: 7 * 24 * time.Hour, Result: "1"}})
	requireOnly(t, ids, err, f, held)
	if held {
		delete(m.live, f.ID)
		m.done[f.ID] = task.attempts + 1
	}
}

func (m *machine) bury(t *rapid.T) {
	f, task, held := m.fence(t)
	ids, err := m.store.Bury(t.Context(), []Buried{{Fence: f, Attempts: task.attempts + 1, Error: `{"message": "no"}`}})
	requireOnly(t, ids, err, f, held)
	if held {
		delete(m.live, f.ID)
		m.dead[f.ID] = task.attempts + 1
	}
}

func (m *machine) giveBack(t *rapid.T) {
	f, task, held := m.fence(t)
	if task.attempts+1 >= modelMaxAttempts {
		t.Skip("the last attempt")
	}
	spent := int16(rapid.IntRange(0, 1).Draw(t, "spent"))
	sublane := drawSublane(t)
	ids, err := m.store.Return(t.Context(), []Returned{{Fence: f, Attempts: task.attempts + spent, Sublane: sublane}})
	requireOnly(t, ids, err, f, held)
	if held {
		m.live[f.ID] = modelT{attempts: task.attempts + spent, suspect: task.suspect && !task.started, sublane: sublane}
	}
}

func (m *machine) markStarted(t *rapid.T) {
	f, task, held := m.fence(t)
	marked, err := m.store.MarkStarted(t.Context(), f.ID, f.Worker, f.Claim)
	require.NoError(t, err)
	require.Equal(t, held, marked)
	if held {
		task.started = true
		m.live[f.ID] = task
	}
}

func (m *machine) disown(t *rapid.T) {
	f, _, _ := m.fence(t)
	n, err := m.store.Disown(t.Context(), f.Worker, f.Claim)
	require.NoError(t, err)
	for id, task := range m.live {
		if task.fence.Worker == f.Worker && task.fence.Claim == f.Claim {
			n--
			m.live[id] = modelT{attempts: task.attempts, suspect: task.suspect, sublane: task.sublane}
		}
	}
	require.Zero(t, n)
}

// die ends a worker's lease. Its statements may still come: its fences are
// kept, and hold until recovery.
func (m *machine) die(t *rapid.T) {
	if len(m.workers) == 0 {
		t.Skip("no workers")
	}
	i := rapid.IntRange(0, len(m.workers)-1).Draw(t, "worker")
	_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.workers SET heartbeat_at = now() - interval '2 hours' WHERE id = $1`, m.workers[i])
	require.NoError(t, err)
	m.workers = slices.Delete(m.workers, i, i+1)
}

func (m *machine) recover(t *rapid.T) {
	l, leads, err := m.store.Campaign(t.Context(), 1, time.Hour)
	require.NoError(t, err)
	require.True(t, leads)
	_, err = m.store.Recover(t.Context(), l, 1000, true, func(int32, int16) int16 { return modelMaxAttempts }, nil)
	require.NoError(t, err)
	for id, task := range m.live {
		if task.fence == (Fence{}) || slices.Contains(m.workers, task.fence.Worker) {
			continue
		}
		next := modelT{attempts: task.attempts, suspect: true, sublane: task.sublane}
		if task.started {
			next.attempts++
		}
		if next.attempts >= modelMaxAttempts {
			delete(m.live, id)
			m.dead[id] = next.attempts
			continue
		}
		m.live[id] = next
	}
}

// check compares all three tables with the model.
func (m *machine) check(t *rapid.T) {
	rows, err := m.pool.Query(t.Context(), `
		SELECT id, state, attempts, coalesce(worker_id, 0), coalesce(claim, 0), suspect, started_at IS NOT NULL, sublane FROM orchestrator.tasks`)
	require.NoError(t, err)
	live := map[int64]modelT{}
	var (
		id        int64
		state     int16
		one       modelT
		attempts  int16
		worker, c int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &attempts, &worker, &c, &one.suspect, &one.started, &one.sublane}, func() error {
		task := modelT{attempts: attempts, suspect: one.suspect, started: one.started, sublane: one.sublane}
		if state == StateRunning {
			task.fence = Fence{id, worker, c}
		}
		live[id] = task
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, m.live, live)
	require.Equal(t, m.done, m.table(t, "tasks_finished"))
	require.Equal(t, m.dead, m.table(t, "tasks_dead"))
	for _, attempts := range slices.Concat(slices.Collect(maps.Values(m.done)), slices.Collect(maps.Values(m.dead))) {
		require.LessOrEqual(t, attempts, int16(modelMaxAttempts))
	}
}

func (m *machine) table(t *rapid.T, name string) map[int64]int16 {
	rows, err := m.pool.Query(t.Context(), `SELECT id, attempts FROM orchestrator.`+name)
	require.NoError(t, err)
	found, n := map[int64]int16{}, 0
	var id int64
	var attempts int16
	_, err = pgx.ForEachRow(rows, []any{&id, &attempts}, func() error {
		found[id] = attempts
		n++
		return nil
	})
	require.NoError(t, err)
	require.Len(t, found, n, "a task is in %s twice", name)
	return found
}

// The store's statements, in any order and from any worker, alive or dead, do
// what a few lines of Go say they do.
func TestStatementsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.WithoutCancel(t.Context()), cloned(t)+"&default_query_exec_mode=exec")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = pool.Exec(t.Context(), addContracts)
	require.NoError(t, err)

	rapid.Check(t, func(t *rapid.T) {
		_, err := pool.Exec(t.Context(), `DELETE FROM orchestrator.tasks; DELETE FROM orchestrator.tasks_finished;
			DELETE FROM orchestrator.tasks_dead; DELETE FROM orchestrator.workers; DELETE FROM orchestrator.leader`)
		require.NoError(t, err)
		m := &machine{
			store: New(pool, db, "orchestrator", rapid.Bool().Draw(t, "pooler")), pool: pool,
			live: map[int64]modelT{}, done: map[int64]int16{}, dead: map[int64]int16{},
		}
		m.register(t)
		m.register(t)
		m.insert(t)
		t.Repeat(map[string]func(*rapid.T){
			"register": m.register, "insert": m.insert, "claim": m.claim, "claim more": m.claim, "finish": m.finish, "bury": m.bury,
			"give back": m.giveBack, "mark started": m.markStarted, "disown": m.disown, "die": m.die, "recover": m.recover, "": m.check,
		})
	})
}
