package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(devpg.Main(m)) }

// situation is what the planner believes the table to be (as it was analysed)
// and what it then really holds.
type situation struct{ name, analysed, then string }

const (
	addContracts = `INSERT INTO orchestrator.task_contracts (task_type, fingerprint, queue, priority, payload_schema, policy) VALUES ('t', 'v1', 'q', 0, '{}', '{}');`
	addScheduled = `INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at) SELECT 1, 100, 'q', '{}', now() + interval '1 day' FROM generate_series(1, 20000);`
	addReady     = `INSERT INTO orchestrator.tasks (contract, priority, queue, payload) SELECT 1, 0, 'q', '{}' FROM generate_series(1, 20000);`
	addWaiting   = `INSERT INTO orchestrator.tasks (contract, priority, queue, payload, state, waits_for, group_key, limit_key)
		SELECT 1, 0, 'q', '{}', 2 + i % 2, 2 + i % 2, CASE i % 2 WHEN 0 THEN 'g' || i % 100 END, CASE i % 2 WHEN 1 THEN 'l' || i % 100 END FROM generate_series(1, 20000) AS i;
		INSERT INTO orchestrator.groups SELECT 'g' || i FROM generate_series(1, 5000) AS i; INSERT INTO orchestrator.slots SELECT 'l' || i, 1 FROM generate_series(1, 5000) AS i;`
	addRunning    = `INSERT INTO orchestrator.tasks (contract, priority, queue, payload, state, worker_id, claim) SELECT 1, 0, 'q', '{}', 1, 7, 1 FROM generate_series(1, 20000);`
	addPaced      = `INSERT INTO orchestrator.tasks (contract, priority, queue, sublane, payload) SELECT 1, 0, 'q', 't', '{}' FROM generate_series(1, 20000);`
	removeAll     = `DELETE FROM orchestrator.tasks;`
	plannersTable = `ANALYZE orchestrator.tasks;`
)

// addSchedules are enough of them to tempt the planner into reading all tasks.
const addSchedules = `
	INSERT INTO orchestrator.schedules (name, contract, cron, timezone, payload, missed, overlap, declared, next_at, last_task_id)
	SELECT 's' || i, 1, '', 'UTC', '{}', 'skip', 'skip', false, now(), i FROM generate_series(1, 5000) AS i;
	ANALYZE orchestrator.schedules;`

var situations = []situation{
	{"as migrated", "", addReady + addPaced + addScheduled + addRunning},
	{"analysed empty", plannersTable, addReady + addScheduled + addRunning},
	{"analysed empty after use", addReady + removeAll + "VACUUM orchestrator.tasks;" + plannersTable, addReady + addRunning},
	{"analysed all scheduled", addScheduled + plannersTable, addReady + addRunning},
	{"analysed all running", addRunning + plannersTable, addReady + addScheduled},
	{"analysed all ready", addReady + plannersTable, addRunning + addScheduled},
	{"analysed all in a sublane", addPaced + plannersTable, addReady + addRunning},
	{"analysed all waiting for turns", addWaiting + plannersTable, addReady + addRunning + addScheduled},
	{"analysed all ready, now waiting for turns", addReady + plannersTable, removeAll + addWaiting},
	{"analysed full, now small", addReady + addRunning + plannersTable, removeAll + addRunning},
}

// Hot statements must use their index whatever the planner believes: a
// sequential scan of tasks or a sort of it costs seconds at the wrong moment.
func TestHotStatementsKeepTheirPlans(t *testing.T) {
	t.Parallel()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	template, err := server.Template(t.Context(), "store", migrateByHand)
	require.NoError(t, err)
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			url, drop, err := template.Clone(t.Context())
			require.NoError(t, err)
			t.Cleanup(drop)
			conn, err := pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
			run(t, conn, addContracts+addSchedules+s.analysed)
			for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
				run(t, conn, "SET plan_cache_mode = "+mode)
				checkPlans(t, conn, mode) // planned as analysed
			}
			run(t, conn, s.then)
			for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
				run(t, conn, "SET plan_cache_mode = "+mode)
				checkPlans(t, conn, mode) // and as it is
			}
			run(t, conn, plannersTable) // as autovacuum may at any time
			for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
				run(t, conn, "SET plan_cache_mode = "+mode)
				checkPlans(t, conn, mode)
			}
		})
	}
}

// ofFewTasks are the statements whose parts have a hundred rows at most.
var ofFewTasks = []string{"complete in a transaction", "give back and hand over"}

func checkPlans(t *testing.T, conn *pgx.Conn, mode string) {
	t.Helper()
	ids, ones, sevens := make([]int64, 1000), make([]int64, 1000), make([]int64, 1000)
	small, texts := make([]int16, 1000), make([]string, 1000)
	objects := make([]string, 1000)
	for i := range ids {
		ids[i], ones[i], sevens[i], objects[i] = int64(i+1), 1, 7, "{}"
	}
	beginning := []time.Time{time.Unix(0, 0), time.Unix(0, 0)}
	taker := Taker{}.args()
	turnIndexes := []string{"tasks_pkey", "tasks_grouped", "tasks_limited"}
	for _, hot := range []struct {
		name, statement string
		args            []any
		indexes         []string // that a scan of tasks may use
		sorts           bool     // it may collect and sort: what it reads is bounded by a claim's size
	}{
		{"claim", claim, []any{[]string{"q", "q"}, []string{"", "t"}, []int16{100, 0}, beginning, []int64{0, 0}, []int32{100, 100}, 100, 1, []int32{}, 7, 2},
			[]string{"tasks_ready", "tasks_pkey"}, false},
		{"lanes", queueLanes, []any{[]string{"q", "q"}, []string{"", "t"}, []string{"q"}, []string{"t"}, []int16{5}, beginning[0], 1, []int32{}},
			[]string{"tasks_ready"}, false},
		{"sublanes", findSublanes, []any{[]string{"q"}}, []string{"tasks_ready"}, false},
		{"finish", finish, []any{ids, sevens, ones, small, small, ones, texts, texts}, []string{"tasks_pkey"}, false},
		{"finish alike", finishAlike, []any{ids, ones, 7, 4, 1, 1}, []string{"tasks_pkey"}, false},
		{"finish carefully", finishHeld, []any{ids, sevens, ones, small, small, ones, texts, texts}, []string{"tasks_pkey"}, false},
		{"finish carefully and tell", finishHeldTold, []any{ids, sevens, ones, small, small, ones, texts, texts}, []string{"tasks_pkey"}, true},
		{"bury", bury, []any{ids, sevens, ones, small, objects, texts}, []string{"tasks_pkey"}, false},
		{"finish and tell", finishTold, []any{ids, sevens, ones, small, small, ones, texts, texts}, []string{"tasks_pkey"}, true},
		{"bury and tell", buryTold, []any{ids, sevens, ones, small, objects, texts}, []string{"tasks_pkey"}, true},
		{"give back", giveBack, []any{ids[:ReturnChunk], sevens[:ReturnChunk], ones[:ReturnChunk], small[:ReturnChunk], ones[:ReturnChunk], texts[:ReturnChunk], texts[:ReturnChunk]}, []string{"tasks_pkey"}, false},
		{"replace waiting", replaceWaiting, []any{`[{"contract": 1, "type": "t", "queue": "q", "key": "k", "payload": "{}"}]`, int16(2)}, []string{"tasks_pkey"}, true},
		{"mark started", markStarted, []any{1, 7, 1}, []string{"tasks_pkey"}, false},
		{"progress", setProgress, []any{ids, sevens, ones, small, make([]int32, 1000), texts}, []string{"tasks_pkey"}, true},
		{"progress of", progressOf, []any{ids[:1]}, []string{"tasks_pkey"}, false},
		{"forget progress", forgetProgress, []any{1000}, []string{"tasks_pkey"}, false},
		{"complete in a transaction", completeIn, []any{1, 7, 1, "", 1, 3}, turnIndexes, true},
		{"finish alike and hand over", finishTurnsAlike, append([]any{ids, ones, 7, 4, 1, 1, small}, taker...), turnIndexes, true},
		{"finish and hand over", finishTurns, append([]any{ids, sevens, ones, small, small, ones, texts, texts, small, small}, taker...), turnIndexes, true},
		{"finish, hand over also slots", finishTurnsAndSlots, append([]any{ids, sevens, ones, small, small, ones, texts, texts, small, small}, taker...), turnIndexes, true},
		{"finish, hand over and tell", finishTurnsAndSlotsTold, append([]any{ids, sevens, ones, small, small, ones, texts, texts, small, small}, taker...), turnIndexes, true},
		{"bury, hand over and tell", buryTurnsTold, append([]any{ids, sevens, ones, small, objects, texts, small, small, small}, taker...), turnIndexes, true},
		{"bury and hand over", buryTurns, append([]any{ids, sevens, ones, small, objects, texts, small, small, small}, taker...), turnIndexes, true},
		{"give back and hand over", giveBackTurns, append([]any{ids[:ReturnChunk], sevens[:ReturnChunk], ones[:ReturnChunk], small[:ReturnChunk],
			ones[:ReturnChunk], texts[:ReturnChunk], texts[:ReturnChunk], small[:ReturnChunk], small[:ReturnChunk]}, taker...), turnIndexes, true},
		{"release", release, []any{texts, texts, small, small}, turnIndexes, true},
		{"start turns", startTurns, slices.Concat([]any{texts}, taker, []any{1000, "q", 0}), turnIndexes, true},
		{"admit groups", admitGroups, []any{"q", beginning[0], 0, 1000}, []string{"tasks_arriving"}, true},
		{"admit limited", admitLimited, []any{"q", beginning[0], 0, 200, []int32{1}, []int16{3}}, []string{"tasks_arriving"}, true},
		{"take slots", takeSlots, []any{texts[:10], small[:10]}, []string{"tasks_limited"}, true},
		{"turns without a task", turnsWithoutTask, []any{texts[:10]}, []string{"tasks_grouped"}, false},
		{"arriving", arriving, []any{[]string{"q"}, beginning[0]}, []string{"tasks_arriving"}, false},
		{"live of", liveOf, []any{ids}, []string{"tasks_pkey"}, false},
		{"due schedules", dueSchedules, []any{[]string{}, 500}, []string{"tasks_pkey"}, true},
		{"outcomes", outcomes, []any{ids, beginning[0]}, []string{"tasks_pkey"}, false},
		{"control", readControl, []any{7, []string{"q"}}, []string{"tasks_pkey"}, true}, // sorts settings and workers, which are few
		{"cancel waiting", cancelWaiting, []any{ids, texts}, []string{"tasks_pkey"}, true},
		{"cancel lost", cancelLost, []any{ids, texts}, []string{"tasks_pkey"}, true},
		{"request cancel", requestCancel, []any{ids, ""}, []string{"tasks_pkey"}, true},
		{"settled requests", settledRequests, []any{1000}, []string{"tasks_pkey"}, true},
	} {
		plan := explain(t, conn, hot.statement, hot.args)
		plan.each(func(n planNode) {
			where := fmt.Sprintf("%s, %s: %s on %s using %s", hot.name, mode, n.Type, n.Relation, n.Index)
			require.False(t, n.multiplies() && !slices.Contains(ofFewTasks, hot.name), "%s: each row with each, of %+v", where, n.Plans)
			if n.Relation != "tasks" {
				require.False(t, n.Type == "Sort" && !hot.sorts, "%s over %+v", where, n.Plans)
				return
			}
			if strings.HasPrefix(n.Alias, "w") && strings.HasSuffix(n.Type, "Scan") { // who waits for a turn or a slot
				require.Contains(t, []string{"tasks_grouped", "tasks_limited"}, n.Index, where)
			}
			switch n.Type {
			case "ModifyTable", "LockRows", "Tid Scan":
			case "Bitmap Heap Scan":
				require.True(t, hot.sorts, where)
			case "Index Scan", "Index Only Scan":
				require.Contains(t, hot.indexes, n.Index, where)
			default:
				require.Fail(t, "not an index scan", where)
			}
		})
	}
}

type planNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Alias    string     `json:"Alias"`
	Index    string     `json:"Index Name"`
	Rows     float64    `json:"Actual Rows"` // a loop, with the option ANALYZE
	Plans    []planNode `json:"Plans"`
}

// multiplies tells whether n compares all rows of one part of a statement with all
// of another; the part me has but one.
func (n planNode) multiplies() bool {
	return n.Type == "Nested Loop" && len(n.Plans) == 2 && n.Plans[0].ofPart() && n.Plans[1].ofPart()
}

func (n planNode) ofPart() bool {
	return n.Type == "CTE Scan" && !strings.HasPrefix(n.Alias, "me") || len(n.Plans) == 1 && n.Plans[0].ofPart()
}

func (n planNode) each(visit func(planNode)) {
	visit(n)
	for _, child := range n.Plans {
		child.each(visit)
	}
}

// explain plans a statement that was prepared, as the pool runs it: EXPLAIN of
// the statement itself would always make a custom plan.
func explain(t *testing.T, conn *pgx.Conn, statement string, args []any, options ...string) planNode {
	t.Helper()
	_, err := conn.Exec(t.Context(), "PREPARE hot AS "+statement)
	require.NoError(t, err)
	defer run(t, conn, "DEALLOCATE hot")
	places := make([]string, len(args))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	var text []byte
	err = conn.QueryRow(t.Context(), "EXPLAIN ("+strings.Join(append(options, "FORMAT JSON"), ", ")+") EXECUTE hot("+strings.Join(places, ", ")+")",
		append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&text)
	require.NoError(t, err)
	var plans []struct{ Plan planNode }
	require.NoError(t, json.Unmarshal(text, &plans))
	return plans[0].Plan
}

func run(t *testing.T, conn *pgx.Conn, statements string) {
	t.Helper()
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) != "" {
			_, err := conn.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
	}
}
