package orchestrator_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// scheduling returns a mux that handles echo and declares schedules of it.
func scheduling(schedules ...orchestrator.Schedule) *orchestrator.Mux {
	mux := handle(echo, echoPayload)
	mux.Schedule(schedules...)
	return mux
}

// everySecond is a schedule with due times enough for a test.
func everySecond(name string) orchestrator.Schedule {
	return orchestrator.Schedule{Name: name, Task: echo, Cron: "@every 1s", Overlap: "allow"}
}

// never is a schedule whose due times a test makes by itself.
func never(name string) orchestrator.Schedule {
	return orchestrator.Schedule{Name: name, Task: echo, Cron: "0 0 29 2 *", Payload: `{"by": "never"}`}
}

func scheduleOf(t *testing.T, client *orchestrator.Client, name string) orchestrator.ScheduleInfo {
	t.Helper()
	info, err := client.ScheduleInfo(t.Context(), name)
	require.NoError(t, err)
	return info
}

// awaitSchedule waits until a schedule is as wanted.
func awaitSchedule(t *testing.T, client *orchestrator.Client, name string, wanted func(orchestrator.ScheduleInfo) bool) orchestrator.ScheduleInfo {
	t.Helper()
	var info orchestrator.ScheduleInfo
	require.Eventually(t, func() bool {
		var err error
		info, err = client.ScheduleInfo(t.Context(), name)
		return err == nil && wanted(info)
	}, 30*time.Second, 5*time.Millisecond, name)
	return info
}

func active(info orchestrator.ScheduleInfo) bool { return info.State == orchestrator.ScheduleActive }

// putBack makes a schedule due since a while ago.
func putBack(t *testing.T, client *orchestrator.Client, name, interval string) {
	t.Helper()
	_, err := client.DB().NewRaw("UPDATE orchestrator.schedules SET next_at = date_trunc('second', now()) - ?::interval WHERE name = ?", interval, name).Exec(t.Context())
	require.NoError(t, err)
}

func tasksOf(t *testing.T, client *orchestrator.Client) []orchestrator.TaskInfo {
	t.Helper()
	var all []orchestrator.TaskInfo
	for task, err := range client.Tasks(t.Context(), orchestrator.TaskFilter{}) {
		require.NoError(t, err)
		all = append(all, task)
	}
	return all
}

// Each due time is one task that says what it was due for and whose it is. The
// keys of the task's fields do not make later due times duplicates of the first.
func TestScheduleEnqueuesATaskADueTime(t *testing.T) {
	t.Parallel()
	keyed := variant("test:keyed_report", func(d *orchestrator.Definition) {
		d.PayloadSchema = `{"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}`
		d.Idempotency = &orchestrator.Idempotency{Key: []string{"title"}, Window: time.Hour, OnDuplicate: orchestrator.Reject}
	})
	spans := tracetest.NewSpanRecorder()
	registry := prometheus.NewPedanticRegistry()
	client := orchestratortest.Client(t, orchestrator.ClientConfig{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), Registerer: registry,
	})
	mux := handle(keyed, echoPayload)
	second := everySecond("second")
	second.Task, second.Payload = keyed, ` {"title": "Daily"} `
	mux.Schedule(second)
	stop := startWorker(t, client, mux, quick)
	require.Eventually(t, func() bool {
		return count(t, client, "SELECT count(*) FROM orchestrator.tasks_finished") >= 3
	}, 30*time.Second, 5*time.Millisecond)
	stop()

	all := tasksOf(t, client)
	for i, task := range all { // newest first
		require.Zero(t, task.ScheduledFor.Nanosecond())
		if i > 0 {
			require.Equal(t, all[i-1].ScheduledFor.Add(-time.Second), task.ScheduledFor, "none left out, none twice")
		}
		require.False(t, task.EnqueuedAt.Before(task.ScheduledFor), "enqueued before it was due")
		require.Equal(t, map[string]string{"schedule": "second"}, task.Metadata)
		require.JSONEq(t, `{"title": "Daily"}`, string(task.Payload))
	}
	info := scheduleOf(t, client, "second")
	require.Equal(t, all[0].ID, info.LastTask)
	require.Equal(t, all[0].ScheduledFor, info.LastAt)
	require.Equal(t, all[0].ScheduledFor.Add(time.Second), info.NextAt)
	require.Equal(t, keyed.Name, info.Type)
	require.True(t, info.Declared)

	sent := named(spans, "send default")
	require.Len(t, sent, len(all))
	traces := map[string]bool{}
	for _, span := range sent {
		require.False(t, span.Parent().IsValid())
		traces[span.SpanContext().TraceID().String()] = true
	}
	require.Len(t, traces, len(all), "each firing is a trace of its own")
	require.NotEmpty(t, all[0].TraceParent)
	require.Equal(t, 1, testutil.CollectAndCount(registry, "orchestrator_schedule_lag_seconds"))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "orchestrator_schedules_fired_total" {
			require.Equal(t, "second", family.GetMetric()[0].GetLabel()[0].GetValue())
			require.InDelta(t, len(all), family.GetMetric()[0].GetCounter().GetValue(), 0)
		}
	}
}

// The tasks of a schedule are in their payload's group, as any others are: with
// overlap allow they wait for their turn.
func TestScheduledTasksJoinTheirGroup(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	grouped := variant("test:grouped_report", func(d *orchestrator.Definition) {
		d.PayloadSchema = `{"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]}`
		d.Group = []string{"account"}
	})
	var running, most atomic.Int32
	mux := handle(grouped, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		now := running.Add(1)
		defer running.Add(-1)
		if now > most.Load() {
			most.Store(now)
		}
		return nil, nil
	})
	mux.Schedule(orchestrator.Schedule{Name: "report", Task: grouped, Cron: "* * * * *", Payload: `{"account": "a"}`, Missed: "run_all", Overlap: "allow"})
	startWorker(t, client, mux, quick)
	awaitSchedule(t, client, "report", active)
	putBack(t, client, "report", "100 minutes")
	require.Eventually(t, func() bool { return count(t, client, "SELECT count(*) FROM orchestrator.tasks_finished") >= 100 }, 30*time.Second, 5*time.Millisecond)
	require.Equal(t, int32(1), most.Load())
	require.Equal(t, 1, count(t, client, "SELECT count(DISTINCT group_key) FROM orchestrator.tasks_finished"))
	require.Zero(t, count(t, client, `SELECT count(*) FROM (
		SELECT scheduled_for < lag(scheduled_for) OVER (ORDER BY claimed_at, id) AS before FROM orchestrator.tasks_finished) AS f WHERE before`), "in the order of their due times")
}

// What passed while no leader was there is made up for as the schedule says:
// more due times than one transaction takes.
func TestMissedDueTimes(t *testing.T) {
	t.Parallel()
	for _, missed := range []string{"skip", "run_once", "run_all"} {
		t.Run(missed, func(t *testing.T) {
			t.Parallel()
			client := orchestratortest.Client(t)
			s := orchestrator.Schedule{Name: "minute", Task: echo, Cron: "* * * * *", Missed: missed, Overlap: "allow"}
			stop := startWorker(t, client, scheduling(s), quick)
			awaitSchedule(t, client, "minute", active)
			stop()
			var began time.Time
			require.NoError(t, client.DB().NewRaw(`UPDATE orchestrator.schedules
				SET next_at = date_trunc('minute', now()) - interval '1504 minutes', last_at = NULL RETURNING next_at`).Scan(t.Context(), &began))
			stop = startWorker(t, client, scheduling(s), quick)
			awaitSchedule(t, client, "minute", func(info orchestrator.ScheduleInfo) bool { return info.NextAt.Sub(began) > 1504*time.Minute })
			stop()
			info, all := scheduleOf(t, client, "minute"), tasksOf(t, client)
			due := map[time.Time]bool{}
			for _, task := range all {
				due[task.ScheduledFor] = true
			}
			require.Len(t, due, len(all), "a due time has one task")
			switch missed {
			case "run_all":
				require.Len(t, all, int(info.NextAt.Sub(began)/time.Minute), "each has one")
			case "run_once":
				// Two if a minute has begun since.
				require.Contains(t, []int{1, 2}, len(all))
				for i, task := range all {
					require.Equal(t, info.NextAt.Add(time.Duration(-1-i)*time.Minute), task.ScheduledFor, "the latest")
				}
			case "skip":
				for _, task := range all {
					require.Less(t, task.EnqueuedAt.Sub(task.ScheduledFor), 2*time.Minute, "on time")
				}
			}
		})
	}
}

// With overlap skip a due time that finds the last task live gets none.
func TestOverlap(t *testing.T) {
	t.Parallel()
	for overlap, want := range map[string]int{"skip": 1, "allow": 3} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			client := orchestratortest.Client(t)
			release := make(chan struct{})
			mux := handle(echo, func(ctx context.Context, _ *orchestrator.Raw) ([]byte, error) {
				select {
				case <-release:
				case <-ctx.Done():
				}
				return nil, ctx.Err()
			})
			s := everySecond("second")
			s.Overlap = overlap
			mux.Schedule(s)
			startWorker(t, client, mux, quick)
			first := awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastTask != 0 })
			awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.NextAt.Sub(first.NextAt) >= 2*time.Second })
			live := count(t, client, "SELECT count(*) FROM orchestrator.tasks")
			require.GreaterOrEqual(t, live, want)
			if overlap == "skip" {
				require.Equal(t, want, live)
			}
			close(release)
			// Once it has ended, the next due time has its task again.
			awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastTask > first.LastTask })
		})
	}
}

// Two versions of a spec at the same time: the one that was seen last is in
// force while anybody has it, whoever restarts; what nobody has any more rests.
func TestTwoVersionsOfASchedule(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	cron := func(expression string) func(orchestrator.ScheduleInfo) bool {
		return func(info orchestrator.ScheduleInfo) bool { return active(info) && info.Cron == expression }
	}
	old, removed, changed := never("nightly"), never("removed"), never("nightly")
	changed.Cron, changed.Payload = "0 4 29 2 *", `{"version": 2}`

	stopOld := startWorker(t, client, scheduling(old, removed), quick)
	before := awaitSchedule(t, client, "nightly", cron(old.Cron))
	awaitSchedule(t, client, "removed", active)
	require.NoError(t, client.PauseSchedule(t.Context(), "nightly"))

	stopNew := startWorker(t, client, scheduling(changed), quick)
	after := awaitSchedule(t, client, "nightly", func(info orchestrator.ScheduleInfo) bool { return info.Cron == changed.Cron })
	require.JSONEq(t, changed.Payload, string(after.Payload))
	require.Equal(t, orchestrator.SchedulePaused, after.State, "a person's pause survives a deploy")
	require.NoError(t, client.ResumeSchedule(t.Context(), "nightly"))
	require.NotEqual(t, before.NextAt, scheduleOf(t, client, "nightly").NextAt)
	require.True(t, active(scheduleOf(t, client, "removed")), "an old worker still has it")

	// Another old worker starts, and has led: nothing changes.
	stopOld()
	awaitSchedule(t, client, "removed", func(info orchestrator.ScheduleInfo) bool { return info.State == orchestrator.ScheduleUndeclared })
	stopOld = startWorker(t, client, scheduling(old, removed), quick)
	awaitSchedule(t, client, "removed", active) // that only the old one has: so it had been applied
	require.Equal(t, changed.Cron, scheduleOf(t, client, "nightly").Cron)

	// A rollback: the last new worker goes.
	stopNew()
	awaitSchedule(t, client, "nightly", cron(old.Cron))

	// Nobody has either any more. Something else leads.
	startWorker(t, client, scheduling(everySecond("another")), quick)
	stopOld()
	awaitSchedule(t, client, "nightly", func(info orchestrator.ScheduleInfo) bool { return info.State == orchestrator.ScheduleUndeclared })
	putBack(t, client, "nightly", "1 hour")
	n := scheduleOf(t, client, "another").LastTask
	awaitSchedule(t, client, "another", func(info orchestrator.ScheduleInfo) bool { return info.LastTask > n })
	require.Zero(t, scheduleOf(t, client, "nightly").LastTask, "it rests")
	require.NoError(t, client.DeleteSchedule(t.Context(), "removed"), "one that nobody declares may be deleted")
	_, err := client.ScheduleInfo(t.Context(), "removed")
	require.ErrorIs(t, err, orchestrator.ErrUnknownSchedule)

	// It comes back: what passed meanwhile was missed, and it runs once.
	startWorker(t, client, scheduling(old), quick)
	back := awaitSchedule(t, client, "nightly", func(info orchestrator.ScheduleInfo) bool { return info.LastTask != 0 })
	require.True(t, active(back))
}

// What only the payload or the policy of missed times changes takes effect
// without moving the due time that comes next.
func TestChangedPayloadKeepsTheNextDueTime(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	stop := startWorker(t, client, scheduling(never("nightly")), quick)
	awaitSchedule(t, client, "nightly", active)
	stop()
	_, err := client.DB().NewRaw("UPDATE orchestrator.schedules SET next_at = '2099-01-01 03:00:00+00'").Exec(t.Context())
	require.NoError(t, err)
	changed := never("nightly")
	changed.Payload, changed.Missed = `{"changed": true}`, "skip"
	startWorker(t, client, scheduling(changed), quick)
	info := awaitSchedule(t, client, "nightly", func(info orchestrator.ScheduleInfo) bool { return info.Missed == "skip" })
	require.Equal(t, time.Date(2099, time.January, 1, 3, 0, 0, 0, time.UTC), info.NextAt)
}

func TestPausedDueTimesAreSkipped(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	s := everySecond("second")
	s.Missed = "run_all"
	startWorker(t, client, scheduling(s, everySecond("another")), quick)
	awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastTask != 0 })
	require.NoError(t, client.PauseSchedule(t.Context(), "second"))
	paused := scheduleOf(t, client, "second")
	require.Equal(t, orchestrator.SchedulePaused, paused.State)
	require.Zero(t, paused.NextAt)
	require.NoError(t, client.PauseSchedule(t.Context(), "second"))
	require.Equal(t, paused, scheduleOf(t, client, "second"), "pausing again changes nothing")
	another := scheduleOf(t, client, "another").LastAt
	awaitSchedule(t, client, "another", func(info orchestrator.ScheduleInfo) bool { return info.LastAt.Sub(another) >= 3*time.Second })
	require.Equal(t, paused.LastAt, scheduleOf(t, client, "second").LastAt)

	require.NoError(t, client.ResumeSchedule(t.Context(), "second"))
	require.NoError(t, client.ResumeSchedule(t.Context(), "second"))
	awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastAt.After(paused.LastAt) })
	require.Zero(t, count(t, client, `SELECT count(*) FROM orchestrator.all_tasks t, orchestrator.schedules s
		WHERE s.name = 'second' AND t.metadata ->> 'schedule' = 'second'
			AND t.scheduled_for > '`+paused.LastAt.Format(time.RFC3339)+`' AND t.scheduled_for <= s.updated_at`))
}

func TestDynamicSchedules(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]orchestrator.ClientConfig{"plain": {}, "pooler": {TransactionPooler: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testDynamicSchedules(t, orchestratortest.Client(t, config))
		})
	}
}

func testDynamicSchedules(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	reminder := variant("test:reminder", func(d *orchestrator.Definition) {
		d.PayloadSchema = `{"type": "object", "properties": {"customer": {"type": "integer"}, "token": {"type": "string", "x-sensitive": true}}, "required": ["customer"]}`
	})
	mux := scheduling(never("nightly"))
	mux.Handle(reminder, orchestrator.HandlerFunc(echoPayload))
	startWorker(t, client, mux, quick)
	awaitSchedule(t, client, "nightly", active)

	s := orchestrator.Schedule{Name: "customer:42", Cron: "0 9 29 2 *", Timezone: "Europe/Lisbon", Payload: `{"customer": 42, "token": "secret"}`}
	created, err := client.PutScheduleRaw(t.Context(), reminder.Name, s)
	require.NoError(t, err)
	require.False(t, created.Declared)
	require.Equal(t, []string{"run_once", "skip"}, []string{created.Missed, created.Overlap})
	redacted, err := client.RedactedSchedule(t.Context(), created)
	require.NoError(t, err)
	require.JSONEq(t, `{"customer": 42, "token": "[redacted]"}`, string(redacted.Payload))

	putBack(t, client, s.Name, "1 second")
	fired := awaitSchedule(t, client, s.Name, func(info orchestrator.ScheduleInfo) bool { return info.LastTask != 0 })
	s.Task, s.Payload = reminder, `{"customer": 43}`
	changed, err := client.PutSchedule(t.Context(), s)
	require.NoError(t, err)
	require.JSONEq(t, s.Payload, string(changed.Payload))
	require.Equal(t, fired.NextAt, changed.NextAt)
	require.Equal(t, fired.LastTask, changed.LastTask)
	again, err := client.PutSchedule(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, changed, again)
	s.Cron = "0 10 29 2 *"
	changed, err = client.PutSchedule(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, fired.NextAt.Add(time.Hour), changed.NextAt)

	// By hand: now, and the due time that comes next stays.
	ref, err := client.TriggerSchedule(t.Context(), s.Name)
	require.NoError(t, err)
	got, err := result(t, ref)
	require.NoError(t, err)
	require.JSONEq(t, s.Payload, got)
	triggered := scheduleOf(t, client, s.Name)
	require.Equal(t, ref.ID(), triggered.LastTask)
	require.Equal(t, changed.NextAt, triggered.NextAt)

	runs, err := client.NextRuns(t.Context(), s.Name, 2)
	require.NoError(t, err)
	require.Equal(t, changed.NextAt, runs[0])
	require.Equal(t, []time.Month{time.February, time.February}, []time.Month{runs[0].Month(), runs[1].Month()})

	all, err := client.Schedules(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"customer:42", "nightly"}, []string{all[0].Name, all[1].Name})

	require.NoError(t, client.DeleteSchedule(t.Context(), s.Name))
	_, err = client.ScheduleInfo(t.Context(), s.Name)
	var unknown *orchestrator.UnknownScheduleError
	require.ErrorAs(t, err, &unknown)

	// Declared ones are the spec's.
	nightly := never("nightly")
	_, err = client.PutSchedule(t.Context(), nightly)
	require.EqualError(t, err, "orchestrator: schedule nightly: a spec declares it: change it in tasks.yaml and deploy that")
	require.ErrorIs(t, err, orchestrator.ErrDeclaredSchedule)
	require.EqualError(t, client.DeleteSchedule(t.Context(), "nightly"),
		"orchestrator: schedule nightly: a spec declares it: remove it from tasks.yaml and deploy that, or pause it")
}

func TestBadSchedulesAreRefused(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.ScheduleInfo(t.Context(), "nightly")
	require.ErrorContains(t, err, "there are no schedules")
	enqueue(t, client, echo, `{}`)
	strict := variant("test:strict", func(d *orchestrator.Definition) {
		d.PayloadSchema = `{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}`
	})
	for want, change := range map[string]func(*orchestrator.Schedule){
		`schedule nightly: cron "0 0 30 2 *" never comes: there is no such date`:    func(s *orchestrator.Schedule) { s.Cron = "0 0 30 2 *" },
		`schedule nightly: there is no time zone "Europe/Lisboa"`:                   func(s *orchestrator.Schedule) { s.Timezone = "Europe/Lisboa" },
		`schedule nightly: missed "twice": want skip or run_once or run_all`:        func(s *orchestrator.Schedule) { s.Missed = "twice" },
		`schedule nightly: overlap "maybe": want allow or skip`:                     func(s *orchestrator.Schedule) { s.Overlap = "maybe" },
		`schedule nightly: missed run_all needs overlap allow`:                      func(s *orchestrator.Schedule) { s.Missed = "run_all" },
		`schedule a b: not a name for a schedule: want letters, digits and _ . : -`: func(s *orchestrator.Schedule) { s.Name = "a b" },
		`schedule (dynamic): not a name for a schedule`:                             func(s *orchestrator.Schedule) { s.Name = "(dynamic)" },
		`schedule nightly: it has no Task`:                                          func(s *orchestrator.Schedule) { s.Task = nil },
		`schedule nightly: payload /n: is required`:                                 func(s *orchestrator.Schedule) { s.Task = strict },
		`schedule nightly: payload: not valid JSON`:                                 func(s *orchestrator.Schedule) { s.Payload = "{" },
	} {
		s := orchestrator.Schedule{Name: "nightly", Task: echo, Cron: "@daily"}
		change(&s)
		_, err := client.PutSchedule(t.Context(), s)
		require.ErrorContains(t, err, "orchestrator: "+want)
		mux := scheduling(s)
		require.ErrorContains(t, orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(t.Context()), "orchestrator: "+want)
	}
	twice := scheduling(never("nightly"), never("nightly"))
	require.ErrorContains(t, orchestrator.NewWorker(client, twice, orchestrator.WorkerConfig{}).Run(t.Context()), "schedule nightly is declared twice")
	_, err = client.PutScheduleRaw(t.Context(), "test:ehco", orchestrator.Schedule{Name: "nightly", Cron: "@daily"})
	require.ErrorContains(t, err, "orchestrator: schedule nightly of test:ehco: unknown task type; did you mean test:echo?")
	_, err = client.PutScheduleRaw(t.Context(), echo.Name, orchestrator.Schedule{Name: "nightly", Cron: "@daily"})
	require.NoError(t, err)
	for _, change := range []func(string) error{
		func(name string) error { return client.PauseSchedule(t.Context(), name) },
		func(name string) error { return client.ResumeSchedule(t.Context(), name) },
		func(name string) error { return client.DeleteSchedule(t.Context(), name) },
		func(name string) error { _, err := client.TriggerSchedule(t.Context(), name); return err },
		func(name string) error { _, err := client.NextRuns(t.Context(), name, 1); return err },
	} {
		require.EqualError(t, change("nihgtly"), "orchestrator: schedule nihgtly: there is none of that name; did you mean nightly?")
	}
	_, err = client.NextRuns(t.Context(), "nightly", 0)
	require.EqualError(t, err, "orchestrator: the next 0 due times: want 1 to 1000")
}

// A schedule that cannot be fired, by this worker at least, is no reason not to
// fire the others.
func TestBrokenScheduleHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	enqueue(t, client, echo, `{}`)
	_, err := client.PutScheduleRaw(t.Context(), echo.Name, orchestrator.Schedule{Name: "broken", Cron: "@daily"})
	require.NoError(t, err)
	_, err = client.DB().NewRaw("UPDATE orchestrator.schedules SET timezone = 'Mars/Olympus', next_at = now() - interval '1 hour'").Exec(t.Context())
	require.NoError(t, err)
	var lines logLines
	config := quick
	config.Logger = lines.logger(slog.LevelError)
	stop := startWorker(t, client, scheduling(everySecond("second")), config)
	first := awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastTask != 0 })
	awaitSchedule(t, client, "second", func(info orchestrator.ScheduleInfo) bool { return info.LastTask > first.LastTask })
	stop()
	require.Zero(t, scheduleOf(t, client, "broken").LastTask)
	require.Len(t, lines.said(t, "schedule cannot be fired; it is tried again in a minute"), 1, "it is put aside")
}

// A spec's schedule takes the place of a dynamic one of the same name.
func TestSpecTakesOverADynamicSchedule(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	enqueue(t, client, echo, `{}`)
	_, err := client.PutScheduleRaw(t.Context(), echo.Name, orchestrator.Schedule{Name: "nightly", Cron: "@daily"})
	require.NoError(t, err)
	startWorker(t, client, scheduling(never("nightly")), quick)
	info := awaitSchedule(t, client, "nightly", func(info orchestrator.ScheduleInfo) bool { return info.Declared })
	require.Equal(t, never("").Cron, info.Cron)
	text, err := json.Marshal(info)
	require.NoError(t, err)
	require.NotContains(t, string(text), "last_")
}
