package cases

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

const (
	behindTasks     = 1_000_000
	historyTasks    = 10_000_000
	highestPriority = 100
)

// behind is what else may be in the tables: a queue must be as fast however much
// is waiting and whatever has ever run.
func behind() lab.Case {
	all := variants{
		"orchestrator":             {tasks: drainTasks},
		"with 1M ready behind":     {tasks: drainTasks, behind: addReady},
		"with 1M scheduled":        {tasks: drainTasks, behind: addScheduled},
		"with 10M rows in history": {tasks: drainTasks, place: withHistory},
	}
	c := lab.Case{
		Name:  "behind",
		Title: "Drain 400,000 tasks with many others in the tables",
		Unit:  "tasks/s",
		Notes: []string{
			"The million ready tasks are in the same queue, later in turn. Of those that are scheduled for tomorrow half has the priority of the",
			"tasks that are drained, half the highest. The ten million finished tasks are in the partition of history into which the drain writes.",
		},
		Contestants: []string{"orchestrator", "with 1M ready behind", "with 1M scheduled", "with 10M rows in history"},
		Round:       all.round,
	}
	for _, name := range c.Contestants[1:] {
		c.Targets = append(c.Targets, lab.Target{Contestant: name, Against: "orchestrator", AtLeast: .9})
	}
	return c
}

// addReady copies a waiting task, to be run after all that are there.
func addReady(ctx context.Context, l *lab.Lab, db *lab.Database) (int, error) {
	n := l.Tasks(behindTasks)
	return n, db.Exec(ctx, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload)
		SELECT one.contract, one.priority, one.queue, one.payload
		FROM (SELECT * FROM orchestrator.tasks LIMIT 1) AS one, generate_series(1, $1::bigint)`, n)
}

// addScheduled copies it for tomorrow.
func addScheduled(ctx context.Context, l *lab.Lab, db *lab.Database) (int, error) {
	n := l.Tasks(behindTasks)
	return n, db.Exec(ctx, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at, scheduled_for)
		SELECT one.contract, CASE i % 2 WHEN 0 THEN one.priority ELSE $2 END, one.queue, one.payload,
			now() + interval '1 day' + i * interval '1 microsecond', now() + interval '1 day' + i * interval '1 microsecond'
		FROM (SELECT * FROM orchestrator.tasks LIMIT 1) AS one, generate_series(1, $1::bigint) AS i`, n, int16(highestPriority))
}

// withHistory is a copy of a database that is made once a run.
func withHistory(ctx context.Context, l *lab.Lab) (*lab.Database, error) {
	return l.Copy(ctx, "history", func(ctx context.Context, db *lab.Database) error {
		if err := prepareIn(ctx, l, db); err != nil {
			return err
		}
		n := l.Tasks(historyTasks)
		l.Logf("  writing %d rows of history, once", n)
		err := db.Exec(ctx, `
			INSERT INTO orchestrator.tasks_finished (id, keep_until, finished_at, scheduled_for, enqueued_at, claimed_at,
				worker_id, claim, contract, state, priority, attempts, queue, payload)
			SELECT -i, now() + interval '7 days', now(), now(), now(), now(), 1, i / 1000, 1, 4, 0, 1, 'shape_0', '{"user_id":1,"template":"welcome"}'
			FROM generate_series(1, $1::bigint) AS i`, n)
		if err != nil {
			return fmt.Errorf("bench: history: %w", err)
		}
		return db.Settle(ctx, "orchestrator.tasks_finished")
	})
}
