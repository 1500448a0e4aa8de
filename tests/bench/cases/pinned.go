package cases

import (
	"context"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// pinned is what a forgotten transaction does to a queue: nothing that the
// queue deletes can be vacuumed, and each claim might walk over all of it.
func pinned() lab.Case {
	all := variants{
		"orchestrator":        {tasks: drainTasks},
		"orchestrator pinned": {tasks: drainTasks, beside: holdHorizon},
	}
	return lab.Case{
		Name:  "pinned",
		Title: "Drain 400,000 tasks with a transaction that holds the vacuum horizon open",
		Unit:  "tasks/s",
		Notes: []string{
			"Before the drain another session takes a snapshot of the database, and keeps it until after: dead rows stay in the tables and their",
			"entries in the indexes.",
		},
		Contestants: []string{"orchestrator", "orchestrator pinned"},
		Targets:     []lab.Target{{Contestant: "orchestrator pinned", Against: "orchestrator", AtLeast: .85}},
		Round:       all.round,
	}
}

// holdHorizon keeps a snapshot in a session of its own.
func holdHorizon(ctx context.Context, db *lab.Database) (end func() error, err error) {
	conn, err := db.Connect(ctx)
	if err != nil {
		return nil, err
	}
	end = func() error { return conn.Close(context.WithoutCancel(ctx)) }
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orchestrator.workers"); err != nil {
		_ = end()
		return nil, fmt.Errorf("bench: hold the vacuum horizon: %w", err)
	}
	return end, nil
}
