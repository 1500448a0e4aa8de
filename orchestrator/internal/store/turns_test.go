package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// addChain is a group whose task 1 runs and whose tasks 2 and 3 wait.
const addChain = `
	INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, waits_for, worker_id, claim, claimed_at, group_key)
	SELECT i, 1, 0, 'q', '{}', CASE i WHEN 1 THEN 1 ELSE 2 END, CASE i WHEN 1 THEN 0 ELSE 2 END, CASE i WHEN 1 THEN 7 END, CASE i WHEN 1 THEN 1 END, CASE i WHEN 1 THEN now() END, 'g'
	FROM generate_series(1, 3) AS i;
	INSERT INTO orchestrator.groups VALUES ('g');
	INSERT INTO orchestrator.workers (id, lease, slots, pid, host, version, queues) VALUES (7, '1 minute', 1, 1, '', '', '{q}')`

// finishFirst ends task 1 of addChain, for a worker that has room for task 2.
func finishFirst(ctx context.Context, s *Store) (Handed, error) {
	return s.FinishTurns(ctx, []*Finished{{
		Fence: Fence{ID: 1, Worker: 7, Claim: 1}, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour, Turn: Turn{Direct: true},
	}}, Taker{Worker: 7, Claim: 2, Known: 1, Floored: true})
}

// The index of groups has their keys as hashes. Those that have one in common
// are still groups of their own.
func TestGroupsWithOneHashAreKeptApart(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, addChain, `
		CREATE OR REPLACE FUNCTION orchestrator.group_hash(group_key text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
			SELECT hashtextextended(group_key, 0) & 0 $$`, // 0, but not to the planner
		`DROP INDEX orchestrator.tasks_grouped`,
		`CREATE INDEX tasks_grouped ON orchestrator.tasks (orchestrator.group_hash(group_key), waits_for, id) WHERE group_key IS NOT NULL`, `
		INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, waits_for, worker_id, claim, group_key)
		VALUES (-2, 1, 0, 'q', '{}', 1, 0, 7, 1, 'h'), (-1, 1, 0, 'q', '{}', 2, 2, NULL, NULL, 'h')`,
		`UPDATE orchestrator.tasks SET id = 9 WHERE id = 2`, // so that h's is between those of g
		`UPDATE orchestrator.tasks SET id = 2 WHERE id = -1`,
		`INSERT INTO orchestrator.groups VALUES ('h')`)
	h, err := finishFirst(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, h.Ended)
	require.Len(t, h.Taken, 1)
	require.Equal(t, int64(3), h.Taken[0].ID)
	h, err = s.Settle(t.Context(), []string{"g", "h"}, nil, nil)
	require.NoError(t, err)
	require.Empty(t, h.Ready, "both have the turn")
	fill(t, s, `DELETE FROM orchestrator.tasks WHERE id = -2`)
	h, err = s.Settle(t.Context(), []string{"g", "h"}, nil, nil)
	require.NoError(t, err)
	require.Len(t, h.Ready, 1)
	require.EqualValues(t, 0, queried[int16](t, s, `SELECT state FROM orchestrator.tasks WHERE id = 2`))
}

// Handing over must not write to any index: see the migration "handover".
func TestHandOversUpdateTheHeapAlone(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `
		INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, waits_for, worker_id, claim, claimed_at, expires_at, deadline_at, group_key)
		SELECT i, 1, 0, 'q', '{}', CASE WHEN i <= 1000 THEN 1 ELSE 2 END, CASE WHEN i <= 1000 THEN 0 ELSE 2 END, 7, 1, now(), now() + interval '1 day', now() + interval '1 day', 'g' || i % 1000
		FROM generate_series(1, 5000) AS i`,
		`INSERT INTO orchestrator.groups SELECT DISTINCT group_key FROM orchestrator.tasks`)
	ids, workers, claims, ones, kept, texts := make([]int64, 1000), make([]int64, 1000), make([]int64, 1000), make([]int16, 1000), make([]int64, 1000), make([]string, 1000)
	states := make([]int16, 1000)
	for i := range ids {
		ids[i], workers[i], claims[i], ones[i], kept[i], states[i] = int64(i+1), 7, 1, 1, (7 * 24 * time.Hour).Microseconds(), StateSucceeded
	}
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), finishTurns, append([]any{pgx.QueryExecModeExec, ids, workers, claims, states, ones, kept, texts, texts, ones, ones},
		Taker{Worker: 7, Claim: 2, Known: 1, Floored: true}.args()...)...)
	require.NoError(t, err)
	var updated, heapOnly int64
	require.NoError(t, tx.QueryRow(t.Context(), `
		SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE schemaname = 'orchestrator' AND relname = 'tasks'`).Scan(&updated, &heapOnly))
	require.EqualValues(t, 1000, updated)
	require.Equal(t, updated, heapOnly)
}

// A task that was handed a turn seems to wait for it, to the indexes.
func TestTaskThatWasHandedATurnDoesNotWait(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, addChain, "ANALYZE orchestrator.tasks")
	h, err := finishFirst(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, h.Ended)
	require.Len(t, h.Taken, 1)
	require.Equal(t, int64(2), h.Taken[0].ID)
	require.Equal(t, h.Now, h.Taken[0].RunAt.Time(), "it has been ready since it got the turn")
	require.EqualValues(t, 2, queried[int16](t, s, `SELECT waits_for FROM orchestrator.tasks WHERE id = 2`), "else this test is in vain")

	l, leads, err := s.Campaign(t.Context(), 9, time.Hour)
	require.NoError(t, err)
	require.True(t, leads)
	handed, stray, err := s.SettleStray(t.Context(), l, 10, func(int32) int16 { return 0 })
	require.NoError(t, err)
	require.Zero(t, stray, "it has the turn")
	require.Empty(t, handed.Ready)
	handed, err = s.Settle(t.Context(), []string{"g"}, nil, nil)
	require.NoError(t, err)
	require.Empty(t, handed.Ready)
	admitted, err := s.AdmitGroups(t.Context(), Arrivals{Queue: "q", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, admitted.Seen)
	require.Empty(t, admitted.Ready)
	heads, _, err := s.Arriving(t.Context(), []string{"q"}, time.Unix(0, 0))
	require.NoError(t, err)
	require.Len(t, heads, 1)
	require.Equal(t, int64(3), heads[0].First.ID)
	for _, pages := range []int64{samplePages, 1} { // counted, and by the index
		depths, err := s.depth(t.Context(), pages)
		require.NoError(t, err)
		require.Equal(t, int64(1), sorted(depths)[0].Blocked)
	}
	gone, requested, _, err := s.CancelBatch(t.Context(), []int64{2}, "no more", true, true)
	require.NoError(t, err)
	require.Empty(t, gone, "it runs")
	require.Equal(t, 1, requested)
}

// The statement that ends a task which was handed its turn still sees it among
// those that wait.
func TestTaskThatWasHandedATurnHandsItOver(t *testing.T) {
	t.Parallel()
	for name, like := range map[string]Finished{ // a statement each
		"alike": {}, "with a result": {Result: "1"}, "with a slot": {Turn: Turn{Slot: true}},
	} {
		for _, floored := range []bool{false, true} {
			t.Run(fmt.Sprint(name, floored), func(t *testing.T) {
				t.Parallel()
				s := migrated(t)
				fill(t, s, addContracts, addChain)
				_, err := finishFirst(t.Context(), s)
				require.NoError(t, err)
				for _, id := range []int64{2, 3} {
					end := like
					end.Fence, end.State, end.Attempts, end.Kept = Fence{ID: id, Worker: 7, Claim: id}, StateSucceeded, 1, 7*24*time.Hour
					end.Turn.Direct = true
					h, err := s.FinishTurns(t.Context(), []*Finished{&end}, Taker{Worker: 7, Claim: id + 1, Known: 1, Floored: floored})
					require.NoError(t, err)
					require.Equal(t, []int64{id}, h.Ended)
					require.Empty(t, h.Groups)
					require.Len(t, h.Taken, int(3-id))
				}
				require.Zero(t, queried[int64](t, s, `SELECT count(*) FROM orchestrator.groups`))
			})
		}
	}
}

// What a dead worker was handed comes back into its lane, ahead of all cursors.
func TestTaskThatWasHandedATurnIsRecovered(t *testing.T) {
	t.Parallel()
	for what, back := range map[string]func(s *Store){
		"recovered": func(s *Store) {
			fill(t, s, `UPDATE orchestrator.workers SET heartbeat_at = now() - interval '1 hour'`)
			l, _, err := s.Campaign(t.Context(), 9, time.Hour)
			require.NoError(t, err)
			r, err := s.Recover(t.Context(), l, 10, false, func(int32, int16) int16 { return 5 }, nil)
			require.NoError(t, err)
			require.Equal(t, 1, r.Back)
		},
		"disowned": func(s *Store) {
			n, err := s.Disown(t.Context(), 7, 2)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, addChain)
			h, err := finishFirst(t.Context(), s)
			require.NoError(t, err)
			require.Len(t, h.Taken, 1)
			cursor := Cursor{RunAt: queried[time.Time](t, s, `SELECT now()`)}
			back(s)
			tasks, _, err := s.Claim(t.Context(), ClaimRequest{
				Lanes: []Lane{{LaneKey: LaneKey{Queue: "q"}, Cursor: cursor, Want: 3}}, Limit: 3, Worker: 8, Claim: 1, Known: 1, Foreign: []int32{},
			})
			require.NoError(t, err)
			require.Len(t, tasks, 1)
			require.Equal(t, int64(2), tasks[0].ID)
		})
	}
}

// A next task that somebody changes just then gets the turn of the group that it
// is in afterwards, or later.
func TestNextTaskIsChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]string{
		"moved":    `UPDATE orchestrator.tasks SET group_key = 'h' WHERE id = 2`,
		"replaced": `UPDATE orchestrator.tasks SET payload = '1' WHERE id = 2`,
		"ended":    `DELETE FROM orchestrator.tasks WHERE id = 2`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, addChain)
			tx, err := s.pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(t.Context()) }()
			_, err = tx.Exec(t.Context(), change)
			require.NoError(t, err)
			var h Handed
			finished := make(chan error, 1)
			go func() {
				var err error
				h, err = finishFirst(t.Context(), s)
				finished <- err
			}()
			require.Eventually(t, func() bool {
				return len(finished) > 0 || queried[bool](t, s, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
			}, 10*time.Second, time.Millisecond)
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, <-finished)
			require.Equal(t, []int64{1}, h.Ended)
			for _, task := range h.Taken {
				require.Equal(t, int64(3), task.ID)
			}
			if len(h.Taken) == 0 {
				require.Equal(t, []string{"g"}, h.Groups)
				h, err = s.Settle(t.Context(), h.Groups, nil, nil)
				require.NoError(t, err)
				require.Len(t, h.Ready, 1)
			}
			require.EqualValues(t, 1, queried[int64](t, s, `SELECT count(*) FROM orchestrator.tasks WHERE group_key = 'g' AND state IN (0, 1)`))
			require.Zero(t, queried[int64](t, s, `SELECT count(*) FROM orchestrator.tasks WHERE group_key = 'h' AND state <> 2`))
		})
	}
}

func queried[T any](t *testing.T, s *Store, query string) (v T) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), query).Scan(&v))
	return v
}

// Of the first tasks of groups, a worker claims as many as it has room for, those
// of the queue that are urgent enough, the most urgent and oldest first; the others
// become ready. A worker that may not claim makes all of them ready.
func TestArrivalsAreClaimedAsFarAsThereIsRoom(t *testing.T) {
	t.Parallel()
	const ids = `SELECT array_agg(id ORDER BY id) FROM orchestrator.tasks WHERE state = `
	taker := Taker{Worker: 7, Claim: 1, Known: 1}
	for name, c := range map[string]struct {
		look           Arrivals
		claimed, ready []int64
	}{
		"no room":             {Arrivals{Taker: taker}, nil, []int64{1, 2, 3, 4, 5}},
		"a little room":       {Arrivals{Taker: taker, Room: 3}, []int64{2, 3, 4}, []int64{1, 5}},
		"only what is urgent": {Arrivals{Taker: taker, Room: 3, Priority: 9}, []int64{4}, []int64{1, 2, 3, 5}},
		"room for all":        {Arrivals{Taker: taker, Room: 9, Priority: -100}, []int64{1, 2, 3, 4}, []int64{5}},
		"may not claim":       {Arrivals{Room: 9}, nil, []int64{1, 2, 3, 4, 5}},
		"knows no contract":   {Arrivals{Taker: Taker{Worker: 7, Claim: 1}, Room: 9}, nil, []int64{1, 2, 3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, `
				INSERT INTO orchestrator.tasks (id, contract, priority, queue, sublane, payload, state, waits_for, run_at, group_key)
				SELECT id, 1, priority, 'q', sublane, '{}', 2, 2, now() - since * interval '1 minute', group_key
				FROM (VALUES (1, 0, '', 1, 'a'), (2, 0, '', 2, 'b'), (3, 5, '', 1, 'c'), (4, 9, '', 1, 'd'), (5, 0, 'paced', 1, 'e'), (6, 0, '', 0, 'd'))
					AS t(id, priority, sublane, since, group_key)`)
			c.look.Queue, c.look.Limit = "q", 10
			admitted, err := s.AdmitGroups(t.Context(), c.look)
			require.NoError(t, err)
			require.Equal(t, 6, admitted.Seen)
			require.Equal(t, 5, admitted.Won)
			require.Len(t, admitted.Taken, len(c.claimed))
			for _, one := range admitted.Taken {
				require.GreaterOrEqual(t, admitted.Now.Sub(one.RunAt.Time()), time.Minute, "ready for as long as it has been due")
			}
			require.Equal(t, c.claimed, queried[[]int64](t, s, ids+"1"))
			require.Equal(t, c.ready, queried[[]int64](t, s, ids+"0"))
		})
	}
}
