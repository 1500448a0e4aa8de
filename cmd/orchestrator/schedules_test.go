package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	client, tt := database(t)
	got := tt.run(t, "schedules", "list")
	require.Equal(t, outcome{"", "none\n", 0}, got)
	require.Equal(t, "[]\n", tt.good(t, "schedules", "list", "--json"))

	create := []string{"schedules", "create", "leap", "--task", "mail:send", "--cron", "30 1 29 2 *", "--timezone", "Europe/Lisbon",
		"--payload", `{"to": "ada@example.com", "token": "hunter2"}`}
	next := time.Date(2028, time.February, 29, 1, 30, 0, 0, time.UTC)
	for next.Before(time.Now()) {
		next = next.AddDate(4, 0, 0)
	}
	wall := next.Format("2006-01-02 15:04:05 -07:00")
	require.Contains(t, tt.good(t, create...), "leap is active, next run "+wall+", in ")
	require.Contains(t, tt.good(t, append(create, "--json")...), `"payload":{"to":"ada@example.com","token":"[redacted]"}`)
	declare(t, client)

	all := objects(t, tt.good(t, "schedules", "list", "--json"))
	require.Equal(t, []string{"created_at", "cron", "declared", "missed", "name", "next_at", "overlap", "payload", "state", "timezone", "type", "updated_at"}, keys(all[0]))
	require.Equal(t, map[string]any{"to": "ada@example.com", "token": "[redacted]"}, all[0]["payload"])
	require.Equal(t, "hunter2", objects(t, tt.good(t, "schedules", "list", "--json", "--reveal"))[0]["payload"].(map[string]any)["token"])

	listed := strings.Split(tt.good(t, "schedules", "list"), "\n")
	require.Equal(t, fields("NAME TASK CRON TIMEZONE STATE NEXT RUN LAST RUN LAST TASK"), fields(listed[0]))
	require.Contains(t, stable(listed[1]), "leap  mail:send  30 1 29 2 *  Europe/Lisbon  active, dynamic  MOMENT +00:00  in ")
	require.Contains(t, stable(listed[2]), "yearly  mail:send  @yearly  UTC  active  MOMENT +00:00  in ")

	require.Contains(t, stable(tt.good(t, "schedules", "pause", "leap")), "leap is paused\n")
	require.Contains(t, stable(strings.Split(tt.good(t, "schedules", "list"), "\n")[1]), "paused, dynamic  -  -  -  -")
	got = tt.run(t, "schedules", "next", "leap", "-n", "1")
	require.Equal(t, "LOCAL (Europe/Lisbon)       UTC\n"+wall+"  "+next.Format("2006-01-02 15:04:05")+"\n", got.stdout)
	require.Equal(t, "The schedule is paused: these are what it would have.\n", got.stderr)
	require.Contains(t, tt.good(t, "schedules", "resume", "leap"), "leap is active, next run "+wall)
	require.Contains(t, tt.good(t, "schedules", "next", "leap", "--json", "-n", "1"), `["`+next.Format(time.RFC3339)+`"]`)

	id := strings.TrimSpace(tt.good(t, "schedules", "trigger", "leap"))
	task, err := client.TaskInfo(t.Context(), parseID(t, id))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"schedule": "leap"}, task.Metadata)

	shown := stable(tt.good(t, "schedules", "show", "leap"))
	for _, want := range []string{
		"schedule  leap\n", "from  dynamic: created at run time\n", "task  mail:send\n", "cron  30 1 29 2 *\n", "missed  run_once\n", "overlap  skip\n",
		"next run  MOMENT +00:00  in ", "last task  " + id + "\n", `"token": "[redacted]"`,
	} {
		require.Contains(t, shown, want)
	}
	require.Contains(t, tt.good(t, "schedules", "show", "leap", "--reveal"), "hunter2")
	require.Contains(t, tt.good(t, "schedules", "show", "yearly"), "declared by a spec")

	require.Equal(t, "deleted: leap\n", tt.good(t, "schedules", "delete", "leap"))
	for want, args := range map[string]string{
		"schedule leep: there is none of that name":                                                   "show leep",
		"schedule yeraly: there is none of that name; did you mean yearly?":                           "pause yeraly",
		"schedule yearly: a spec declares it: remove it from tasks.yaml and deploy that, or pause it": "delete yearly",
		"schedule yearly of mail:send: the payload is not valid\n  /to  is required":                  "create yearly --task mail:send --cron @daily",
		"schedule x of mail:sent: unknown task type; did you mean mail:send?":                         "create x --task mail:sent --cron @daily",
		`schedule x of mail:send: cron "@dayly": unrecognized descriptor: "@dayly"`:                   "create x --task mail:send --cron @dayly",
		"the next 0 due times: want 1 to 1000":                                                        "next yearly -n 0",
	} {
		got := tt.run(t, append([]string{"schedules"}, fields(args)...)...)
		require.Equal(t, outcome{"", "orchestrator: " + want + "\n", exitFailure}, got)
	}
	got = tt.run(t, "schedules", "create", "x", "--task", "mail:send")
	require.Equal(t, outcome{"", "orchestrator: missing --cron\nRun 'orchestrator schedules create --help' for usage.\n", exitUsage}, got)
}

// declare lets a worker declare the schedule yearly and keeps it running.
func declare(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	mux := handlers()
	mux.Schedule(orchestrator.Schedule{Name: "yearly", Task: mail, Cron: "@yearly", Payload: `{"to": "ada@example.com"}`})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	// It works another queue, so that tasks stay where they are.
	go func() {
		ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{Queues: []string{"none"}, ClaimInterval: 10 * time.Millisecond}).Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool {
		_, err := client.ScheduleInfo(t.Context(), "yearly")
		return err == nil
	}, 30*time.Second, 5*time.Millisecond)
}
