package store

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// turnsMachine runs random statements on tasks with groups and limits, and
// checks after each that turns and slots are exactly where they belong.
type turnsMachine struct {
	*Store
	workers []int64
	claims  int64
	held    map[int64]Fence // claims that hold, by task
	stale   []Fence
	started map[string]int64 // by group: the highest task that was ever claimed
	late    map[int64]bool   // may start after higher ids: delayed, redriven, or come from another group
}

const (
	turnsLimit       = 2 // slots of every limit
	turnsMaxAttempts = 3
)

func (m *turnsMachine) insert(t *rapid.T) {
	var batch []NewTask
	for range rapid.IntRange(1, 4).Draw(t, "tasks") {
		batch = append(batch, NewTask{
			Contract: 1, Type: "t", Queue: "q", Payload: "{}",
			GroupKey: rapid.SampledFrom([]string{"", "a", "a", "b"}).Draw(t, "group"),
			LimitKey: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "limit"),
			Delay:    rapid.SampledFrom([]int64{0, 0, 3_600_000_000}).Draw(t, "delay"),
		})
	}
	rows, err := m.Insert(t.Context(), batch)
	require.NoError(t, err)
	for i, row := range rows {
		m.late[row.ID] = batch[i].Delay > 0
	}
}

// replace enqueues by keys; a task that waits and gets another group comes there
// with its old id, as a redriven one does.
func (m *turnsMachine) replace(t *rapid.T) {
	var batch []NewTask
	for _, key := range []string{"k", "l"} {
		batch = append(batch, NewTask{
			Contract: 1, Type: "t", Queue: "q", Payload: "{}", Key: key, Window: time.Hour,
			OnDuplicate: rapid.SampledFrom([]OnDuplicate{KeepFirst, Replace, Debounce}).Draw(t, "on duplicate"),
			GroupKey:    rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "group"),
			LimitKey:    rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "limit"),
		})
	}
	_, err := m.InsertKeyed(t.Context(), batch, func(all []Inserted) error {
		for _, one := range all {
			m.late[one.ID] = m.late[one.ID] || one.Existing
		}
		return nil
	})
	require.NoError(t, err)
}

// admit looks at all arrivals, and then nobody may wait for what is free.
func (m *turnsMachine) admit(t *rapid.T) {
	taker, room := m.taker(t), rapid.IntRange(0, 2).Draw(t, "room")
	admitted, err := m.AdmitGroups(t.Context(), Arrivals{Queue: "q", Limit: 100, Taker: taker, Room: room})
	require.NoError(t, err)
	require.LessOrEqual(t, len(admitted.Taken), room)
	m.took(t, admitted.Taken, taker.Worker, taker.Claim)
	_, err = m.AdmitLimited(t.Context(), Arrivals{Queue: "q", Limit: 100}, []int32{1}, []int16{turnsLimit})
	require.NoError(t, err)
	require.Zero(t, m.count(t, `SELECT count(*) FROM orchestrator.tasks t WHERE t.state = 2 AND t.run_at <= now()
		AND NOT EXISTS (SELECT FROM orchestrator.groups g WHERE g.key = t.group_key)`), "a group has no turn")
	require.Zero(t, m.count(t, `SELECT count(*) FROM orchestrator.tasks t WHERE t.state = 3 AND t.run_at <= now()
		AND (SELECT count(*) FROM orchestrator.slots s WHERE s.key = t.limit_key) < $1`, turnsLimit), "a slot is free")
}

func (m *turnsMachine) due(t *rapid.T) {
	_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.tasks SET run_at = now() WHERE state <> 1 AND run_at > now()`)
	require.NoError(t, err)
}

func (m *turnsMachine) claim(t *rapid.T) {
	m.claims++
	worker := rapid.SampledFrom(m.workers).Draw(t, "worker")
	tasks, _, err := m.Claim(t.Context(), ClaimRequest{
		Lanes: []Lane{{LaneKey: LaneKey{Queue: "q"}, Want: 3}}, Limit: 3, Worker: worker, Claim: m.claims, Known: 1, Foreign: []int32{},
	})
	require.NoError(t, err)
	m.took(t, tasks, worker, m.claims)
}

// took notes what was claimed, and that groups start in the order of ids.
func (m *turnsMachine) took(t *rapid.T, tasks []*Claimed, worker, claim int64) {
	for _, task := range tasks {
		m.held[task.ID] = Fence{task.ID, worker, claim}
		if !task.Grouped {
			continue
		}
		group := value[string](t, m, `SELECT group_key FROM orchestrator.tasks WHERE id = $1`, task.ID)
		require.True(t, m.late[task.ID] || task.ID >= m.started[group], "task %d of group %s after %d", task.ID, group, m.started[group])
		m.started[group] = max(m.started[group], task.ID)
	}
}

// some draws claims that hold, in the order of their tasks.
func (m *turnsMachine) some(t *rapid.T) []Fence {
	if len(m.held) == 0 {
		t.Skip("nothing is running")
	}
	ids := slices.Sorted(maps.Keys(m.held))
	ids = ids[:rapid.IntRange(1, min(len(ids), 3)).Draw(t, "of them")]
	fences := make([]Fence, len(ids))
	for i, id := range ids {
		fences[i] = m.held[id]
	}
	return fences
}

func (m *turnsMachine) taker(t *rapid.T) Taker {
	if rapid.Bool().Draw(t, "nobody") {
		return Taker{}
	}
	m.claims++
	return Taker{
		Worker: rapid.SampledFrom(m.workers).Draw(t, "taker"), Claim: m.claims, Known: int32(rapid.IntRange(0, 1).Draw(t, "known")),
		Floored: rapid.Bool().Draw(t, "floored"),
	}
}

func drawTurn(t *rapid.T) Turn {
	return Turn{Direct: rapid.Bool().Draw(t, "direct"), Slot: rapid.Bool().Draw(t, "slot"), Total: turnsLimit}
}

// ended checks the answer of a statement that ended fences, and notes it.
func (m *turnsMachine) ended(t *rapid.T, fences []Fence, taker Taker, h Handed, err error) {
	require.NoError(t, err)
	require.Len(t, h.Ended, len(fences))
	require.Empty(t, h.Groups)
	require.Empty(t, h.Limits)
	for _, f := range fences {
		m.stale = append(m.stale, m.held[f.ID])
		delete(m.held, f.ID)
	}
	m.took(t, h.Taken, taker.Worker, taker.Claim)
}

func (m *turnsMachine) finish(t *rapid.T) {
	fences, taker := m.some(t), m.taker(t)
	var batch []*Finished
	for _, f := range fences {
		turn := drawTurn(t)
		turn.Slot = turn.Slot || value[bool](t, m, `SELECT limit_slot IS NOT NULL FROM orchestrator.tasks WHERE id = $1`, f.ID)
		batch = append(batch, &Finished{Fence: f, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour, Turn: turn})
	}
	h, err := m.FinishTurns(t.Context(), batch, taker)
	m.ended(t, fences, taker, h, err)
}

func (m *turnsMachine) finishStale(t *rapid.T) {
	if len(m.stale) == 0 {
		t.Skip("nothing is stale")
	}
	f := rapid.SampledFrom(m.stale).Draw(t, "stale")
	taker := m.taker(t)
	h, err := m.FinishTurns(t.Context(), []*Finished{{Fence: f, State: StateSucceeded, Kept: 7 * 24 * time.Hour, Turn: drawTurn(t)}}, taker)
	require.NoError(t, err)
	require.Equal(t, Handed{Now: h.Now}, h, "a stale fence was accepted")
}

func (m *turnsMachine) bury(t *rapid.T) {
	fences, taker := m.some(t), m.taker(t)
	var batch []Buried
	for _, f := range fences {
		batch = append(batch, Buried{Fence: f, Attempts: 1, Error: `{"message": "no"}`, Turn: drawTurn(t), Block: rapid.Bool().Draw(t, "block")})
	}
	h, err := m.BuryTurns(t.Context(), batch, taker)
	m.ended(t, fences, taker, h, err)
}

func (m *turnsMachine) giveBack(t *rapid.T) {
	fences, taker := m.some(t), m.taker(t)
	var batch []Returned
	for _, f := range fences {
		batch = append(batch, Returned{Fence: f, Turn: drawTurn(t), Delay: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "delay")})
	}
	h, err := m.ReturnTurns(t.Context(), batch, taker)
	m.ended(t, fences, taker, h, err)
}

func (m *turnsMachine) completeIn(t *rapid.T) {
	f := m.some(t)[0]
	tx, err := m.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	h, done, err := m.CompleteIn(t.Context(), PgxTx{tx}, f, "1", 7*24*time.Hour, turnsLimit)
	require.NoError(t, err)
	require.True(t, done)
	require.Empty(t, h.Taken)
	if rapid.Bool().Draw(t, "commit") {
		require.NoError(t, tx.Commit(t.Context()))
		delete(m.held, f.ID)
		tx, err = m.pool.Begin(t.Context()) // for the deferred end
		require.NoError(t, err)
	}
}

func (m *turnsMachine) ids(t *rapid.T, query string) []int64 {
	rows, err := m.pool.Query(t.Context(), query)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	if len(ids) == 0 {
		t.Skip("none")
	}
	some := ids[:0:0]
	for _, id := range ids {
		if rapid.Bool().Draw(t, "this") {
			some = append(some, id)
		}
	}
	return some
}

func (m *turnsMachine) expire(t *rapid.T) {
	ids := m.ids(t, `SELECT id FROM orchestrator.tasks WHERE state <> 1 ORDER BY id`)
	_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.tasks SET expires_at = now() WHERE id = ANY ($1)`, ids)
	require.NoError(t, err)
	_, _, err = m.Expire(t.Context(), m.lead(t), 100)
	require.NoError(t, err)
}

func (m *turnsMachine) overdue(t *rapid.T) {
	ids := m.ids(t, `SELECT id FROM orchestrator.tasks WHERE state <> 1 ORDER BY id`)
	_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.tasks SET deadline_at = now() WHERE id = ANY ($1)`, ids)
	require.NoError(t, err)
	_, _, err = m.BuryOverdue(t.Context(), m.lead(t), 100, rapid.SampledFrom([][]int32{{}, {1}}).Draw(t, "blocking"))
	require.NoError(t, err)
}

func (m *turnsMachine) cancel(t *rapid.T) {
	ids := m.ids(t, `SELECT id FROM orchestrator.tasks WHERE state <> 1 ORDER BY id`)
	_, _, _, err := m.CancelBatch(t.Context(), ids, "no more", true, false)
	require.NoError(t, err)
}

func (m *turnsMachine) redrive(t *rapid.T) {
	back, err := m.Redrive(t.Context(), m.ids(t, `SELECT id FROM orchestrator.tasks_dead ORDER BY id`))
	require.NoError(t, err)
	for _, one := range back {
		m.late[one.ID] = true
	}
}

func (m *turnsMachine) purge(t *rapid.T) {
	_, _, err := m.PurgeDead(t.Context(), m.ids(t, `SELECT id FROM orchestrator.tasks_dead ORDER BY id`))
	require.NoError(t, err)
}

func (m *turnsMachine) lead(t *rapid.T) Leadership {
	l, leads, err := m.Campaign(t.Context(), 1, time.Hour)
	require.NoError(t, err)
	require.True(t, leads)
	return l
}

// crash ends a worker, and another one comes.
func (m *turnsMachine) crash(t *rapid.T) {
	i := rapid.IntRange(0, len(m.workers)-1).Draw(t, "worker")
	dead := m.workers[i]
	_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.workers SET heartbeat_at = now() - interval '2 hours' WHERE id = $1`, dead)
	require.NoError(t, err)
	if rapid.Bool().Draw(t, "in suspects") {
		_, err := m.pool.Exec(t.Context(), `UPDATE orchestrator.tasks SET started_at = now(), attempts = attempts + 1 WHERE worker_id = $1`, dead)
		require.NoError(t, err)
	}
	blocking := rapid.SampledFrom([][]int32{nil, {1}}).Draw(t, "blocking")
	_, err = m.Recover(t.Context(), m.lead(t), 1000, true, func(int32, int16) int16 { return turnsMaxAttempts }, blocking)
	require.NoError(t, err)
	maps.DeleteFunc(m.held, func(_ int64, f Fence) bool {
		if f.Worker == dead {
			m.stale = append(m.stale, f)
		}
		return f.Worker == dead
	})
	m.workers[i] = m.register(t)
}

func (m *turnsMachine) register(t *rapid.T) int64 {
	m.claims++
	_, err := m.Register(t.Context(), Worker{ID: m.claims, Lease: time.Hour, Queues: []string{"q"}})
	require.NoError(t, err)
	return m.claims
}

// byHand deletes a waiting or running task as a person would, without regard
// for turns, and lets the leader find out.
func (m *turnsMachine) byHand(t *rapid.T) {
	ids := m.ids(t, `SELECT id FROM orchestrator.tasks ORDER BY id`)
	_, err := m.pool.Exec(t.Context(), `DELETE FROM orchestrator.tasks WHERE id = ANY ($1)`, ids)
	require.NoError(t, err)
	for _, id := range ids {
		delete(m.held, id)
	}
	_, _, err = m.SettleStray(t.Context(), m.lead(t), 100, func(int32) int16 { return turnsLimit })
	require.NoError(t, err)
}

func (m *turnsMachine) settle(t *rapid.T) {
	_, err := m.Settle(t.Context(), []string{"a", "b", "none"}, []string{"x", "y", "none"}, []int16{turnsLimit, turnsLimit, turnsLimit})
	require.NoError(t, err)
}

// check looks for turns and slots without a task, and the reverse.
func (m *turnsMachine) check(t *rapid.T) {
	for what, query := range map[string]string{
		"groups with two tasks that have the turn": `SELECT count(*) FROM (
			SELECT group_key FROM orchestrator.tasks WHERE group_key IS NOT NULL AND state IN (0, 1, 3) GROUP BY group_key HAVING count(*) > 1) AS two`,
		"tasks that have a turn which is not there": `SELECT count(*) FROM orchestrator.tasks t WHERE t.group_key IS NOT NULL AND t.state IN (0, 1, 3)
			AND NOT EXISTS (SELECT FROM orchestrator.groups g WHERE g.key = t.group_key AND g.blocked_by IS NULL)`,
		"turns that no task has": `SELECT count(*) FROM orchestrator.groups g WHERE g.blocked_by IS NULL
			AND NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.group_key = g.key AND t.state IN (0, 1, 3))`,
		"groups blocked by a dead letter that is not there": `SELECT count(*) FROM orchestrator.groups g WHERE g.blocked_by IS NOT NULL
			AND NOT EXISTS (SELECT FROM orchestrator.tasks_dead d WHERE d.id = g.blocked_by AND d.group_key = g.key)`,
		"slots that no task has": `SELECT count(*) FROM orchestrator.slots s
			WHERE NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.limit_key = s.key AND t.limit_slot = s.slot)`,
		"tasks whose slot is not there": `SELECT count(*) FROM orchestrator.tasks t WHERE t.limit_slot IS NOT NULL
			AND NOT EXISTS (SELECT FROM orchestrator.slots s WHERE s.key = t.limit_key AND s.slot = t.limit_slot)`,
		"slots that two tasks have": `SELECT count(*) FROM (
			SELECT FROM orchestrator.tasks WHERE limit_slot IS NOT NULL GROUP BY limit_key, limit_slot HAVING count(*) > 1) AS two`,
		"slots beyond the limit":                        `SELECT count(*) FROM orchestrator.slots WHERE slot NOT BETWEEN 1 AND 2`,
		"limited tasks that are ready without a slot":   `SELECT count(*) FROM orchestrator.tasks WHERE limit_key IS NOT NULL AND state IN (0, 1) AND limit_slot IS NULL`,
		"limited tasks that wait although they have it": `SELECT count(*) FROM orchestrator.tasks WHERE limit_slot IS NOT NULL AND state IN (2, 3)`,
		"plain tasks that wait for nothing":             `SELECT count(*) FROM orchestrator.tasks WHERE state = 2 AND group_key IS NULL OR state = 3 AND limit_key IS NULL`,
	} {
		require.Zero(t, m.count(t, query), what)
	}
	require.Equal(t, len(m.held), m.count(t, `SELECT count(*) FROM orchestrator.tasks WHERE state = 1`))
}

func (m *turnsMachine) count(t *rapid.T, query string, args ...any) int {
	return value[int](t, m, query, args...)
}

func value[T any](t *rapid.T, m *turnsMachine, query string, args ...any) (v T) {
	require.NoError(t, m.pool.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

// Whatever happens to the tasks of groups and limits, and in whatever order: a
// group has one turn, a limit its slots, each belongs to a task that is there,
// and the tasks of a group start in the order of their ids.
func TestTurnsAndSlotsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	_, err := s.pool.Exec(t.Context(), addContracts)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		_, err := s.pool.Exec(t.Context(), `DELETE FROM orchestrator.tasks; DELETE FROM orchestrator.tasks_finished; DELETE FROM orchestrator.tasks_dead;
			DELETE FROM orchestrator.groups; DELETE FROM orchestrator.slots; DELETE FROM orchestrator.idempotency_keys; DELETE FROM orchestrator.workers; DELETE FROM orchestrator.leader`)
		require.NoError(t, err)
		m := &turnsMachine{Store: s, held: map[int64]Fence{}, started: map[string]int64{}, late: map[int64]bool{}}
		m.workers = []int64{m.register(t), m.register(t)}
		m.insert(t)
		t.Repeat(map[string]func(*rapid.T){
			"insert": m.insert, "insert more": m.insert, "admit": m.admit, "admit again": m.admit, "due": m.due, "claim": m.claim, "claim more": m.claim,
			"finish": m.finish, "finish more": m.finish, "finish stale": m.finishStale, "bury": m.bury, "give back": m.giveBack,
			"complete in": m.completeIn, "expire": m.expire, "cancel": m.cancel, "redrive": m.redrive, "purge": m.purge, "replace": m.replace, "overdue": m.overdue,
			"crash": m.crash, "by hand": m.byHand, "settle": m.settle, "": m.check,
		})
	})
}
