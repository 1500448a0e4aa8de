package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestQueues(t *testing.T) {
	t.Parallel()
	_, tt := database(t)
	require.Equal(t, `QUEUE  STATE  PER WORKER  TOTAL  GRANTED  WORKERS
mail  working  20  none  -  0
`, stable(tt.good(t, "queues", "list")))
	require.Equal(t, outcome{"", "orchestrator: unknown queue \"mial\"; did you mean mail?\n", exitFailure}, tt.run(t, "queues", "pause", "mial"))
	require.Equal(t, "paused: mail\n", tt.good(t, "queues", "pause", "mail"))
	require.Equal(t, "paused: new\n", tt.good(t, "queues", "pause", "--undeclared", "new"))
	require.Equal(t, "set: mail\n", tt.good(t, "queues", "set", "mail", "--per-worker", "5", "--total", "40"))
	require.Equal(t, `QUEUE  STATE  PER WORKER  TOTAL  GRANTED  WORKERS
mail  paused AGE ago  5 (declared: 20)  40 (declared: none)  0  0
new  paused AGE ago  20  none  -  0
`, stable(tt.good(t, "queues", "list")))
	list := objects(t, tt.good(t, "queues", "list", "--json"))
	require.Equal(t, []string{"changed", "granted", "paused_at", "per_worker", "queue", "total", "workers"}, keys(list[0]))

	status := stable(tt.good(t, "status"))
	require.Contains(t, status, "\nChanged at run time:\n  queue mail  paused AGE ago\n"+
		"  queue mail  per worker 5 (declared: 20), total 40 (declared: none)\n  queue new  paused AGE ago\n")
	var document map[string]any
	require.NoError(t, json.Unmarshal([]byte(tt.good(t, "status", "--json")), &document))
	require.Len(t, document["changed_queues"], 2)

	require.Equal(t, "resumed: mail\nresumed: new\n", tt.good(t, "queues", "resume", "mail", "new"))
	require.Equal(t, "reset: mail\n", tt.good(t, "queues", "reset", "mail"))
	require.Equal(t, `QUEUE  STATE  PER WORKER  TOTAL  GRANTED  WORKERS
mail  working  20  none  -  0
`, stable(tt.good(t, "queues", "list")))
	require.NotContains(t, tt.good(t, "status"), "Changed")
}

func TestTypesAndPolicies(t *testing.T) {
	t.Parallel()
	_, tt := database(t)
	require.Equal(t, "TYPE  QUEUE  STATE  POLICY\nmail:send  mail  working  as declared\n", stable(tt.good(t, "types", "list")))
	require.Equal(t, outcome{"", "none\n", 0}, tt.run(t, "policy", "list"))
	require.Equal(t, outcome{"", "orchestrator: mail:sent: unknown task type; did you mean mail:send?\n", exitFailure}, tt.run(t, "types", "pause", "mail:sent"))
	require.Equal(t, "paused: mail:send\n", tt.good(t, "types", "pause", "mail:send"))
	require.Equal(t, "set: mail:send timeout=2m0s max_attempts=3, until MOMENT UTC\n",
		stable(tt.good(t, "policy", "set", "mail:send", "timeout=2m", "max_attempts=3", "--for", "1d12h")))
	require.Equal(t, "TYPE  QUEUE  STATE  POLICY\nmail:send  mail  paused AGE ago  timeout=2m0s max_attempts=3, ends in 35h\n", stable(tt.good(t, "types", "list")))
	require.Equal(t, "TYPE  POLICY  ENDS\nmail:send  timeout=2m0s max_attempts=3  in 35h\n", stable(tt.good(t, "policy", "list")))
	list := objects(t, tt.good(t, "policy", "list", "--json"))
	require.Equal(t, map[string]any{"timeout": "2m0s", "max_attempts": "3"}, list[0]["policy"])
	require.Contains(t, stable(tt.good(t, "status")), "\nChanged at run time:\n  type mail:send  paused AGE ago\n"+
		"  type mail:send  timeout=2m0s max_attempts=3, ends in 35h\n")
	require.Equal(t, exitFailure, tt.run(t, "policy", "set", "mail:send", "timeout=2m", "--for", "31d").status)
	require.Equal(t, "cleared: mail:send\n", tt.good(t, "policy", "clear", "mail:send"))
	require.Equal(t, "[]\n", tt.good(t, "policy", "list", "--json"))
	require.Equal(t, "resumed: mail:send\n", tt.good(t, "types", "resume", "mail:send"))
	require.NotContains(t, tt.good(t, "status"), "Changed")
}

func TestTasksCancel(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	done := send(t, client, "ada@example.com")
	work(t, client)
	waiting, running := send(t, client, "bob@example.com"), send(t, client, "eve@example.com")
	later := send(t, client, "dan@example.com", orchestrator.WithDelay(time.Hour))
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET state = 1, worker_id = 7, claim = 1 WHERE id = ?", int64(running))
	require.NoError(t, err)

	got := tt.run(t, "tasks", "cancel", waiting.String(), running.String(), done.String(), "99", "--reason", "wrong template")
	require.Equal(t, outcome{"cancelled: 1 task\nasked to stop: 1 running task\n",
		"orchestrator: task 1: too late, it is succeeded\ntask 99: task not found\n", exitFailure}, got)
	require.Contains(t, tt.good(t, "tasks", "show", waiting.String()), "wrong template")

	got = tt.run(t, "tasks", "cancel", "--state", "scheduled")
	require.Equal(t, outcome{"", "orchestrator: This cancels 1 task: pass --yes to do it without being asked\n", exitFailure}, got)
	require.Equal(t, "{\"cancelled\":1,\"requested\":0}\n", tt.good(t, "tasks", "cancel", "--state", "scheduled", "--yes", "--json"))
	require.Equal(t, "cancelled: 0 tasks\nasked to stop: 1 running task\n", tt.good(t, "tasks", "cancel", "--all", "--yes"))
	task, err := client.TaskInfo(t.Context(), later)
	require.NoError(t, err)
	require.Equal(t, orchestrator.Cancelled, task.State)
}
