package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func fields(args string) []string { return strings.Fields(args) }

// objects reads the output of a listing with --json.
func objects(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &all), text)
	return all
}

var migrationNames = []string{
	"20261121000001_queue", "20261122000001_flow", "20261122000002_claim", "20261122000003_handover", "20261122000004_hashes",
	"20261122000005_waits",
}

// perMigration repeats a line with the name of each.
func perMigration(line string) (lines string) {
	for _, name := range migrationNames {
		lines += fmt.Sprintf(line, name)
	}
	return lines
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	_, tt := database(t)
	tt.environ = append(tt.environ, "ORCHESTRATOR_SCHEMA=fresh")

	got := tt.run(t, "status")
	require.Equal(t, exitFailure, got.status)
	require.Equal(t, fmt.Sprintf("orchestrator: the database lacks %d migrations: run `orchestrator migrate up`\n", len(migrationNames)), got.stderr)
	got = tt.run(t, "migrate", "status")
	require.Equal(t, exitFailure, got.status)
	require.Equal(t, "MIGRATION                APPLIED\n"+perMigration("%-23s  no\n"), got.stdout)
	require.Equal(t, "orchestrator: migrations are missing: run `orchestrator migrate up`\n", got.stderr)

	require.Equal(t, perMigration("applied %s\n"), tt.good(t, "migrate", "up"))
	require.Equal(t, "nothing to apply: the database is up to date\n", tt.good(t, "migrate", "up"))
	require.Equal(t, "MIGRATION  APPLIED\n"+perMigration("%s  MOMENT UTC\n"), stable(tt.good(t, "migrate", "status")))
	list := objects(t, tt.good(t, "migrate", "status", "--json"))
	require.Equal(t, "20261121000001_queue", list[0]["name"])
	require.NotEmpty(t, list[0]["applied_at"])
	require.Equal(t, "No tasks are waiting, running or dead.\n\nNo worker is running.\n", tt.good(t, "status"))

	got = tt.run(t, "migrate", "down")
	require.Equal(t, exitFailure, got.status)
	require.Equal(t, "orchestrator: This deletes tables of the schema fresh and every task in them: pass --yes to do it without being asked\n", got.stderr)
	tt.answers, tt.stdin = true, "n\n"
	got = tt.run(t, "migrate", "down")
	require.Equal(t, exitFailure, got.status)
	require.Equal(t, "This deletes tables of the schema fresh and every task in them. Go on? [y/N] orchestrator: nothing was changed\n", got.stderr)
	tt.stdin = "y\n"
	got = tt.run(t, "migrate", "down")
	require.Zero(t, got.status)
	require.Equal(t, perMigration("took back %s\n"), got.stdout)
	require.Equal(t, "nothing to take back\n", tt.good(t, "migrate", "down", "--yes"))

	require.Contains(t, tt.good(t, "migrate", "sql"), "CREATE TABLE fresh.tasks (")
	require.Contains(t, terminal{}.good(t, "migrate", "sql", "--down"), "DROP TABLE orchestrator.tasks;")
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	require.Equal(t, "1\n", tt.good(t, "enqueue", "mail:send", "--payload", `{"to": "ada@example.com"}`))
	got := tt.run(t, "enqueue", "mail:send", "--payload", `{"to": "ada@example.com"}`)
	require.Equal(t, outcome{"1\n", "task 1 was there before, with the same idempotency key\n", 0}, got)
	require.Equal(t, `{"id":1,"type":"mail:send","existing":true}`+"\n", tt.good(t, "enqueue", "mail:send", "--json", "--payload", `{"to": "ada@example.com"}`))

	file := filepath.Join(t.TempDir(), "payload.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"to": "bob@example.com"}`), 0o600))
	id := strings.TrimSpace(tt.good(t, "enqueue", "mail:send", "--payload", "@"+file,
		"--priority", "-5", "--delay", "1d", "--queue", "slow", "--key", "k"))
	task, err := client.TaskInfo(t.Context(), parseID(t, id))
	require.NoError(t, err)
	require.Equal(t, "slow", task.Queue)
	require.Equal(t, -5, task.Priority)
	require.Equal(t, task.EnqueuedAt.Add(24*time.Hour), task.RunAt)
	require.JSONEq(t, `{"to": "bob@example.com"}`, string(task.Payload))

	tt.stdin = `{"to": "eve@example.com"}`
	id = strings.TrimSpace(tt.good(t, "enqueue", "mail:send", "--payload", "-"))
	task, err = client.TaskInfo(t.Context(), parseID(t, id))
	require.NoError(t, err)
	require.Equal(t, "mail", task.Queue)
	require.Equal(t, 3, task.Priority)
	require.JSONEq(t, tt.stdin, string(task.Payload))
}

func parseID(t *testing.T, text string) orchestrator.TaskID {
	t.Helper()
	id, err := taskID(text)
	require.NoError(t, err)
	return id
}

func TestEnqueueRefusals(t *testing.T) {
	t.Parallel()
	_, tt := database(t)
	for want, args := range map[string][]string{
		"enqueue mail:send: the payload is not valid\n  /subject  must be a string, not a number\n  /to       not an email address": {
			"mail:send", "--payload", `{"to": "x", "subject": 1}`},
		"enqueue mail:send: the payload is not valid\n  (all of it)  not valid JSON: unexpected EOF": {"mail:send", "--payload", `{`},
		"enqueue mail:sent: unknown task type; did you mean mail:send?":                              {"mail:sent"},
		"enqueue mail:send: priority 500: want -100 to 100": {
			"mail:send", "--payload", `{"to": "a@example.com"}`, "--priority", "500"},
		"--payload: open /no/such/file: no such file or directory": {"mail:send", "--payload", "@/no/such/file"},
	} {
		got := tt.run(t, append([]string{"enqueue"}, args...)...)
		require.Equal(t, outcome{"", "orchestrator: " + want + "\n", exitFailure}, got)
	}
}

func TestEnqueueAndWait(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	wait := func(to string) <-chan outcome {
		done := make(chan outcome, 1)
		go func() { done <- tt.run(t, "enqueue", "mail:send", "--wait", "--payload", `{"to": "`+to+`"}`) }()
		require.Eventually(t, func() bool {
			for _, err := range client.Tasks(t.Context(), orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Ready}}) {
				return err == nil
			}
			return false
		}, 10*time.Second, 5*time.Millisecond)
		return done
	}
	done := wait("ada@example.com")
	work(t, client)
	require.Equal(t, outcome{`{"sent":true}` + "\n", "task 1 is enqueued; waiting\n", 0}, <-done)
	done = wait("nobody@example.com")
	work(t, client)
	got := <-done
	require.Equal(t, exitFailure, got.status)
	require.Empty(t, got.stdout)
	require.Contains(t, got.stderr, "orchestrator: task 2 is dead after 1 attempts: refused: no such")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	send(t, client, "nobody@example.com")
	send(t, client, "ada@example.com")
	work(t, client)
	send(t, client, "bob@example.com")
	send(t, client, "eve@example.com", orchestrator.WithDelay(time.Hour))
	_, err := client.DB().ExecContext(t.Context(), "UPDATE orchestrator.tasks SET run_at = run_at - interval '3 minutes' WHERE run_at <= now()")
	require.NoError(t, err)
	_, err = client.DB().ExecContext(t.Context(), `INSERT INTO orchestrator.workers (id, started_at, heartbeat_at, lease, slots, busy, idle, pid, host, version, queues)
		VALUES (7, now() - interval '2 hours', now() - interval '4 seconds', '30s', 10, 4, false, 4242, 'web-1', 'v1', '{other}'),
		       (8, now() - interval '1 hour', now() - interval '5 minutes', '30s', 10, 0, true, 4243, 'web-2', 'v1', '{other,more}')`)
	require.NoError(t, err)
	_, err = client.DB().ExecContext(t.Context(), `UPDATE orchestrator.leader SET worker_id = 7, expires_at = now() + interval '1 minute'`)
	require.NoError(t, err)
	require.Equal(t, `QUEUE  READY  RUNNING  SCHEDULED  RETRYING  BLOCKED  THROTTLED  DEAD  OLDEST READY  WORKERS
mail  1  0  1  0  0  0  1  3m  0
other  0  0  0  0  0  0  0  -  1

No worker works mail: ready tasks wait there.

WORKER  HOST  PID  BUSY  QUEUES  UP  HEARTBEAT  STATE
7  web-1  4242  4 of 10  other  2h  AGE ago  working, leader
8  web-2  4243  0 of 10  other,more  1h  AGE ago  lost
`, stable(tt.good(t, "status")))

	var status struct {
		Now     time.Time
		Queues  []map[string]any
		Workers []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(tt.good(t, "status", "--json")), &status))
	require.Equal(t, []string{"blocked", "dead", "oldest_ready_seconds", "queue", "ready", "retrying", "running", "scheduled", "throttled", "workers"}, keys(status.Queues[0]))
	require.Equal(t, []string{"alive", "busy", "draining", "heartbeat_at", "host", "id", "idle", "leader", "lease_seconds", "pid", "queues",
		"slots", "started_at", "version"}, keys(status.Workers[0]))
}

// TestStatusTasks shows each task's state and retries, and counts by state.
func TestStatusTasks(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	require.Contains(t, tt.good(t, "status", "--tasks"), "\nThere are no tasks.\n")
	send(t, client, "nobody@example.com")
	send(t, client, "ada@example.com")
	send(t, client, "down@example.com")
	work(t, client)
	send(t, client, "eve@example.com", orchestrator.WithDelay(time.Hour+time.Minute))
	send(t, client, "fay@example.com")
	send(t, client, "gus@example.com")
	send(t, client, "hal@example.com")
	// As if the type had a group and a limit; task 7 runs for the third time.
	_, err := client.DB().ExecContext(t.Context(), `
		UPDATE orchestrator.tasks SET state = 2, waits_for = 2, group_key = 'mail:send:fay' WHERE id = 5;
		UPDATE orchestrator.tasks SET state = 3, waits_for = 3, limit_key = 'mail:send' WHERE id = 6;
		UPDATE orchestrator.tasks SET state = 1, worker_id = 77, claim = 1, attempts = 2, max_attempts = 9, claimed_at = now() WHERE id = 7`)
	require.NoError(t, err)
	worker := func(id orchestrator.TaskID) string {
		task, err := client.TaskInfo(t.Context(), id)
		require.NoError(t, err)
		return number(task.Worker)
	}
	require.Equal(t, `QUEUE  READY  RUNNING  SCHEDULED  RETRYING  BLOCKED  THROTTLED  DEAD  OLDEST READY  WORKERS
mail  0  1  1  0  1  1  2  -  0

No worker is running.

TASK  TYPE  GROUP  STATE  ATTEMPTS  RETRIES  WORKER  WHEN  LAST ERROR
7  mail:send  -  running  2 of 9  2  77  claimed AGE ago
6  mail:send  -  throttled  0 of 2  0  -  due AGE ago
5  mail:send  mail:send:fay  blocked  0 of 2  0  -  due AGE ago
4  mail:send  -  scheduled  0 of 2  0  -  in 1h
3  mail:send  -  dead  2 of 2  1  `+worker(3)+`  ended AGE ago  connection refused
2  mail:send  -  succeeded  1 of 2  0  `+worker(2)+`  ended AGE ago
1  mail:send  -  dead  1 of 2  0  `+worker(1)+`  ended AGE ago  refused: no such mailbox `+"�"+`[31m

STATE  TASKS
scheduled  1
blocked  1
throttled  1
running  1
succeeded  1
dead  2
`, stable(tt.good(t, "status", "--tasks")))

	got := tt.run(t, "status", "--tasks", "--limit", "2")
	require.Equal(t, "There are more than these 2: --limit 0 lists all.\n", got.stderr)
	require.Contains(t, got.stdout, "\n6 ")
	require.NotContains(t, got.stdout, "\n5 ")
	require.Contains(t, tt.good(t, "status", "--tasks", "--limit", "7"), "\n1 ", "seven are not more than seven")

	var status struct {
		Queues []map[string]any
		Tasks  []map[string]any
		States []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(tt.good(t, "status", "--tasks", "--json")), &status))
	require.Len(t, status.Queues, 1)
	require.Len(t, status.Tasks, 7)
	require.Equal(t, map[string]any{"id": 7., "type": "mail:send", "queue": "mail", "state": "running", "attempts": 2., "max_attempts": 9.,
		"retries": 2., "worker": "77"}, status.Tasks[0])
	require.Equal(t, "mail:send:fay", status.Tasks[2]["group"])
	require.Len(t, status.States, len(allStates))
	require.Equal(t, map[string]any{"state": "succeeded", "tasks": 1., "estimated": false}, status.States[6])

	got = tt.run(t, "status", "--limit", "3")
	require.Equal(t, exitUsage, got.status)
	require.Contains(t, got.stderr, "--limit is for the tasks that --tasks lists: add --tasks")
}

func TestTasks(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	send(t, client, "nobody@example.com", orchestrator.WithMetadata(map[string]string{"by": "ada"}))
	send(t, client, "ada@example.com")
	send(t, client, "down@example.com")
	send(t, client, "panic@example.com", orchestrator.WithMaxAttempts(1))
	work(t, client)
	send(t, client, "eve@example.com", orchestrator.WithDelay(2*time.Hour+time.Minute))

	require.Equal(t, `ID  TYPE  STATE  QUEUE  PRIORITY  ATTEMPTS  ENQUEUED  WHEN  LAST ERROR
5  mail:send  scheduled  mail  3  0 of 2  AGE ago  in 2h
4  mail:send  dead  mail  3  1 of 1  AGE ago  ended AGE ago  panic: boom
3  mail:send  dead  mail  3  2 of 2  AGE ago  ended AGE ago  connection refused
2  mail:send  succeeded  mail  3  1 of 2  AGE ago  ended AGE ago
1  mail:send  dead  mail  3  1 of 2  AGE ago  ended AGE ago  refused: no such mailbox `+"�"+`[31m
`, stable(tt.good(t, "tasks", "list")))

	got := tt.run(t, "tasks", "list", "--limit", "2", "--state", "dead,succeeded")
	require.Zero(t, got.status)
	require.Equal(t, "There are more than these 2: --limit 0 lists all.\n", got.stderr)
	require.Equal(t, 3, strings.Count(got.stdout, "\n"))
	got = tt.run(t, "tasks", "list", "--limit", "2", "--json")
	require.Len(t, objects(t, got.stdout), 2)
	require.NotEmpty(t, got.stderr, "a cut listing says so")
	require.Equal(t, outcome{"", "none\n", 0}, tt.run(t, "tasks", "list", "--type", "no:such"))
	require.Equal(t, "[]\n", tt.good(t, "tasks", "list", "--type", "no:such", "--json"))
	require.Len(t, objects(t, tt.good(t, "tasks", "list", "--json", "--since", "1h", "--queue", "mail", "--code", "refused")), 1)

	all := objects(t, tt.good(t, "tasks", "list", "--json"))
	require.Len(t, all, 5)
	require.Equal(t, []string{"attempts", "claimed_at", "enqueued_at", "errors", "finished_at", "id", "max_attempts", "metadata", "payload", "priority",
		"queue", "scheduled_for", "state", "type", "worker"}, keys(all[4]))
	require.Equal(t, "[redacted]", all[4]["payload"].(map[string]any)["token"])
	require.Equal(t, "hunter2", objects(t, tt.good(t, "tasks", "list", "--json", "--reveal"))[4]["payload"].(map[string]any)["token"])
}

func TestTasksShowProgress(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	id := send(t, client, "ada@example.com")
	_, err := client.DB().ExecContext(t.Context(), `
		UPDATE orchestrator.tasks SET state = 1, worker_id = 77, claim = 1, claimed_at = now();
		INSERT INTO orchestrator.task_progress (task_id, attempt, fraction, message) SELECT id, 1, 0.4249, E'row 7\n of 16' FROM orchestrator.tasks`)
	require.NoError(t, err)
	text := stable(tt.good(t, "tasks", "show", id.String()))
	require.Contains(t, text, "\nprogress  42%  row 7 of 16\n  attempt 1, AGE ago\n")
	require.Contains(t, stable(tt.good(t, "tasks", "list")), "  42%, claimed AGE ago\n")
	var task map[string]any
	require.NoError(t, json.Unmarshal([]byte(tt.good(t, "tasks", "show", "--json", id.String())), &task))
	require.Equal(t, []string{"at", "attempt", "fraction", "message"}, keys(task["progress"].(map[string]any)))
}

func TestTasksShow(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	dead := send(t, client, "nobody@example.com", orchestrator.WithMetadata(map[string]string{"by": "ada"}))
	panicked := send(t, client, "panic@example.com", orchestrator.WithMaxAttempts(1))
	succeeded := send(t, client, "ada@example.com")
	work(t, client)
	scheduled := send(t, client, "eve@example.com", orchestrator.WithDelay(time.Hour+time.Minute), orchestrator.WithTTL(time.Hour))

	task, err := client.TaskInfo(t.Context(), dead)
	require.NoError(t, err)
	require.Equal(t, `task  1
type  mail:send
state  dead
queue  mail
priority  3
attempts  1 of 2
enqueued  MOMENT UTC  AGE ago
last claimed  MOMENT UTC  AGE ago
ended  MOMENT UTC  AGE ago
last worker  `+number(task.Worker)+`
metadata  by=ada

payload
  {
  "to": "nobody@example.com",
  "token": "[redacted]"
  }

errors
  attempt 1, AGE ago: refused: no such
  mailbox `+"�"+`[31m
`, stable(tt.good(t, "tasks", "show", dead.String())))
	require.Contains(t, tt.good(t, "tasks", "show", dead.String(), "--reveal"), "hunter2")
	require.NotContains(t, tt.good(t, "tasks", "show", dead.String(), "--json"), "hunter2")

	shown := tt.good(t, "tasks", "show", panicked.String())
	require.Contains(t, shown, "panic: boom\n    goroutine ")
	require.Contains(t, shown, "handleMail")
	require.Contains(t, tt.good(t, "tasks", "show", succeeded.String()), "result\n  {\n    \"sent\": true\n  }\n")
	shown = tt.good(t, "tasks", "show", scheduled.String())
	for _, want := range []string{"scheduled for", "next attempt", "expires", "in 1h"} {
		require.Contains(t, shown, want)
	}
	_, err = client.DB().ExecContext(t.Context(), `
		UPDATE orchestrator.tasks SET group_key = 'mail:send:eve', limit_key = 'mail:send', deadline_at = now() + interval '150 minutes',
			trace_parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
			errors = '[{"attempt": 1, "at": "2026-11-21T03:00:00Z", "message": "busy", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00"}]'
		WHERE id = ?`, scheduled)
	require.NoError(t, err)
	shown = stable(tt.good(t, "tasks", "show", scheduled.String()))
	for _, want := range []string{"\ngroup  mail:send:eve\n", "\nlimit  mail:send\n", "\ndeadline  MOMENT UTC  in 2h\n",
		"\ntrace  4bf92f3577b34da6a3ce929d0e0e4736\n", ": busy\n  trace 4bf92f3577b34da6a3ce929d0e0e4737  not sampled\n"} {
		require.Contains(t, shown, want)
	}

	got := tt.run(t, "tasks", "show", "999")
	require.Equal(t, outcome{"", "orchestrator: task 999: task not found\n", exitFailure}, got)
}

func TestDead(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	refused, down := send(t, client, "nobody@example.com"), send(t, client, "down@example.com")
	require.Equal(t, outcome{"", "none\n", 0}, tt.run(t, "dead", "list"))
	work(t, client)
	require.Equal(t, `ID  TYPE  QUEUE  ATTEMPTS  ENQUEUED  DIED  LAST ERROR
2  mail:send  mail  2 of 2  AGE ago  AGE ago  connection refused
1  mail:send  mail  1 of 2  AGE ago  AGE ago  refused: no such mailbox `+"�"+`[31m
`, stable(tt.good(t, "dead", "list")))
	list := objects(t, tt.good(t, "dead", "list", "--code", "refused", "--json"))
	require.Len(t, list, 1)
	require.EqualValues(t, refused, list[0]["id"])

	require.Equal(t, "redriven: 1 task\n", tt.good(t, "dead", "redrive", "--code", "refused", "--since", "1h"))
	got := tt.run(t, "dead", "redrive", refused.String(), down.String(), down.String(), "--json")
	require.Equal(t, outcome{"{\"redriven\":1}\n", "orchestrator: 1 of the 2 ids are not among the dead letters that were chosen\n", exitFailure}, got)
	work(t, client)

	got = tt.run(t, "dead", "purge", "--all")
	require.Equal(t, outcome{"", "orchestrator: This deletes 2 dead letters for good: pass --yes to do it without being asked\n", exitFailure}, got)
	tt.answers = true
	got = tt.run(t, "dead", "purge", "--all")
	require.Equal(t, "This deletes 2 dead letters for good. Go on? [y/N] orchestrator: nothing was changed\n", got.stderr)
	tt.answers = false
	require.Equal(t, "purged: 1 dead letter\n", tt.good(t, "dead", "purge", "--yes", refused.String()))
	require.Equal(t, "{\"purged\":1}\n", tt.good(t, "dead", "purge", "--yes", "--all", "--json"))
	require.Equal(t, "{\"redriven\":0}\n", tt.good(t, "dead", "redrive", "--all", "--json"))
}
