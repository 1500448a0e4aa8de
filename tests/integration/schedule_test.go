package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// schedulerProgram works Echo and declares two schedules of it.
func schedulerProgram(ctx context.Context) error {
	client, config, err := open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	mux := harness.Mux(harness.Returning, harness.Echo)
	mux.Schedule(
		orchestrator.Schedule{Name: "second", Task: harness.Echo, Cron: "@every 1s", Missed: "run_all", Overlap: "allow"},
		orchestrator.Schedule{Name: "minute", Task: harness.Echo, Cron: "* * * * *", Missed: "run_all", Overlap: "allow"},
	)
	return orchestrator.NewWorker(client, mux, config).Run(ctx)
}

// The process that fires schedules is killed and frozen again and again, also
// while it makes up for more than one transaction takes. Each due time has
// exactly one task.
func TestEachDueTimeHasOneTaskWhoeverLeads(t *testing.T) {
	t.Parallel()
	const missedDays = 20
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	processes := map[int]*harness.Process{}
	start := func() {
		p := harness.Start(t, "scheduler", hasty(url)...)
		processes[p.PID()] = p
	}
	leader := func() *harness.Process {
		var p *harness.Process
		harness.Await(t, "a leader", func() bool {
			p = processes[harness.Value[int](t, db, `SELECT coalesce(max(w.pid), 0) FROM leader l JOIN workers w ON w.id = l.worker_id WHERE l.expires_at > now()`)]
			return p != nil
		})
		return p
	}
	kill := func() {
		p := leader()
		delete(processes, p.PID())
		p.Kill(t)
		start()
	}
	goesOn := func() {
		t.Helper()
		last := harness.Value[int64](t, db, `SELECT coalesce(max(last_task_id), 0) FROM schedules WHERE name = 'second'`)
		db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM schedules WHERE name = 'second' AND last_task_id > $1)`, last)
	}
	for range 3 {
		start()
	}
	goesOn()
	kill()
	goesOn()

	// Twenty days of minutes are missed: killed in the midst of them, twice.
	before := harness.Value[int64](t, db, `UPDATE schedules SET next_at = date_trunc('minute', now()) - $1 * interval '1 day'
		WHERE name = 'minute' RETURNING coalesce(last_task_id, 0)`, missedDays)
	for _, days := range []int{missedDays - 2, missedDays / 2} {
		db.AwaitTrue(t, `SELECT next_at > now() - $1 * interval '1 day' FROM schedules WHERE name = 'minute'`, days)
		kill()
	}
	db.AwaitTrue(t, `SELECT next_at > now() FROM schedules WHERE name = 'minute'`)

	frozen := leader()
	frozen.Freeze(t)
	db.AwaitTrue(t, `SELECT NOT EXISTS (SELECT FROM leader l JOIN workers w ON w.id = l.worker_id WHERE w.pid = $1 AND l.expires_at > now())`, frozen.PID())
	goesOn()
	frozen.Thaw(t)
	goesOn()

	for _, p := range processes {
		p.Terminate(t)
	}
	for _, s := range []struct {
		name     string
		interval time.Duration
		after    int64 // the task before the first that counts
	}{{"second", time.Second, 0}, {"minute", time.Minute, before}} {
		const of = ` FROM all_tasks WHERE metadata ->> 'schedule' = $1 AND id > $2`
		first := harness.Value[time.Time](t, db, `SELECT min(scheduled_for)`+of, s.name, s.after)
		next := harness.Value[time.Time](t, db, `SELECT next_at FROM schedules WHERE name = $1`, s.name)
		due := int(next.Sub(first) / s.interval)
		require.Equal(t, due, harness.Value[int](t, db, `SELECT count(DISTINCT scheduled_for)`+of, s.name, s.after), "left out: %s", s.name)
		require.Equal(t, due, harness.Value[int](t, db, `SELECT count(*)`+of, s.name, s.after), "twice: %s", s.name)
		if s.name == "minute" {
			require.GreaterOrEqual(t, due, missedDays*24*60)
		}
	}
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM tasks_dead`))
}
