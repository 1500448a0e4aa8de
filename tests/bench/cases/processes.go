package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// processes is what worker processes take from each other.
func processes() lab.Case {
	counts := map[string]int{"1 process": 1, "2 processes": 2, "4 processes": 4}
	return lab.Case{
		Name:  "processes",
		Title: "Drain 400,000 tasks by 1, 2 and 4 worker processes on one database",
		Unit:  "tasks/s",
		Notes: []string{
			"From the first claim to the last completion, by the database's clock. Processes share the machine's cores with PostgreSQL, so more of",
			"them are no faster where the cores are busy: the target is what they lose by waiting for each other.",
		},
		Contestants: []string{"1 process", "2 processes", "4 processes"},
		Targets:     []lab.Target{{Contestant: "4 processes", Against: "1 process", AtLeast: .9}},
		Round: func(ctx context.Context, l *lab.Lab, name string) (m lab.Measure, err error) {
			db, err := fresh(ctx, l)
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, db.Drop()) }()
			spec := contest.Spec{URL: db.URL(), Tasks: l.Tasks(drainTasks)}
			if err := contest.Shaped().Fill(ctx, l, spec); err != nil {
				return m, err
			}
			if err := db.Settle(ctx, "orchestrator.tasks"); err != nil {
				return m, err
			}
			m.Observed, err = db.Observe(ctx, func() (err error) {
				m.Usage, err = workAll(ctx, l, db, spec, counts[name])
				return err
			})
			if err != nil {
				return m, err
			}
			m.Tasks = spec.Tasks
			m.Value, err = rateInHistory(ctx, db, spec.Tasks)
			return m, err
		},
	}
}

// workAll runs n workers until all of them have nothing to do.
func workAll(ctx context.Context, l *lab.Lab, db *lab.Database, spec contest.Spec, n int) (usage lab.Usage, err error) {
	children, err := startAll(ctx, l, "work", spec, n)
	defer func() {
		for _, child := range children {
			child.Stop()
		}
		for _, child := range children {
			took, failed := child.Wait(nil)
			usage, err = usage.Add(took), errors.Join(err, failed)
		}
	}()
	if err != nil {
		return usage, err
	}
	return usage, awaitIdle(ctx, db, n)
}

// startAll starts children and waits until each is ready. Those it returns have
// been started, also with an error.
func startAll(ctx context.Context, l *lab.Lab, job string, spec contest.Spec, n int) (children []*lab.Child, err error) {
	for range n {
		child, err := contest.Shaped().Start(ctx, l, job, spec)
		if err != nil {
			return children, err
		}
		children = append(children, child)
	}
	for _, child := range children {
		if err := child.Ready(ctx); err != nil {
			return children, err
		}
	}
	return children, nil
}

const (
	idlePoll  = 50 * time.Millisecond // how often the little table of workers is looked at
	idleBound = 10 * time.Minute
)

// awaitIdle waits until n workers say that they found nothing to do, and there
// is nothing.
func awaitIdle(ctx context.Context, db *lab.Database, n int) error {
	ctx, cancel := context.WithTimeout(ctx, idleBound) // one that has died will never be idle
	defer cancel()
	conn, err := db.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(idlePoll)
	defer tick.Stop()
	for {
		done, err := nothingToDo(ctx, conn, n)
		if err != nil {
			return fmt.Errorf("bench: wait for %d workers to be idle: %w", n, err)
		}
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func nothingToDo(ctx context.Context, conn *pgx.Conn, n int) (bool, error) {
	var idle int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM orchestrator.workers WHERE idle").Scan(&idle); err != nil || idle < n {
		return false, err
	}
	var left bool
	// No count of them: workers that have just started are idle, too, and it would take their time.
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM orchestrator.tasks)").Scan(&left)
	return !left, err
}

// rateInHistory is what the times in history say of the drain of all tasks.
func rateInHistory(ctx context.Context, db *lab.Database, tasks int) (float64, error) {
	conn, err := db.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var finished int
	var seconds float64
	err = conn.QueryRow(ctx, `SELECT count(*), extract(epoch FROM max(finished_at) - min(claimed_at))::float8 FROM orchestrator.tasks_finished`).Scan(&finished, &seconds)
	if err != nil {
		return 0, fmt.Errorf("bench: read history: %w", err)
	}
	if finished != tasks {
		return 0, fmt.Errorf("bench: %d tasks in history of %d", finished, tasks)
	}
	return float64(tasks) / seconds, nil
}
