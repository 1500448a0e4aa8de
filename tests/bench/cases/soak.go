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

// Soak is the name of the case that --soak adds to a run.
const Soak = "soak"

const (
	soakTime  = 10 * time.Minute
	soakSteps = 10 // of which a line each is written
	// soakTasks is how many are drained to find out what the maximum is.
	soakTasks = 100_000
)

// The figures of the case, of which the targets speak.
const (
	heapGrowth   = "tasks, end / middle"
	indexGrowth  = "its indexes, end / middle"
	memoryGrowth = "worker's memory, end / middle"
)

// soak is what stays of a load that goes on: rows that are dead, tables and
// indexes that grow, memory that is not given back.
func soak() lab.Case {
	const name = "orchestrator"
	return lab.Case{
		Name:  Soak,
		Title: "Soak: half load that goes on",
		Unit:  "tasks/s",
		Notes: []string{
			"For ten minutes, unless --soak says otherwise: half of the rate of a drain of 100,000 tasks just before, enqueued 50 times a second by a",
			"process of its own. Sizes are in MB. History grows by what is finished; the table of live tasks and its indexes must not grow any more",
			"after the first half.",
		},
		Contestants: []string{name},
		Targets: []lab.Target{
			{Contestant: name, Figure: heapGrowth, AtMost: 1.1},
			{Contestant: name, Figure: indexGrowth, AtMost: 1.1},
			{Contestant: name, Figure: memoryGrowth, AtMost: 1.1},
		},
		Rounds:    1,
		OnRequest: true,
		Round: func(ctx context.Context, l *lab.Lab, _ string) (m lab.Measure, err error) {
			most, err := variants{name: {tasks: soakTasks}}.round(ctx, l, name)
			if err != nil {
				return m, err
			}
			db, err := fresh(ctx, l)
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, db.Drop()) }()
			return soakIn(ctx, l, db, most.Value/2)
		},
	}
}

func soakIn(ctx context.Context, l *lab.Lab, db *lab.Database, rate float64) (m lab.Measure, err error) {
	step := scaled(l, soakTime) / soakSteps
	if l.Soak() > 0 {
		step = l.Soak() / soakSteps
	}
	spec := contest.Spec{URL: db.URL(), Rate: rate, Every: step}
	var worked contest.Worked
	m.Observed, err = db.Observe(ctx, func() error {
		children, err := startAll(ctx, l, "work", spec, 1)
		if err == nil {
			m.Course, err = underLoad(ctx, l, db, spec, step)
		}
		if err == nil {
			err = awaitIdle(ctx, db, 1)
		}
		for _, child := range children {
			child.Stop()
			usage, failed := child.Wait(&worked)
			m.Usage, err = m.Add(usage), errors.Join(err, failed)
		}
		return err
	})
	if err != nil {
		return m, err
	}
	const memory = 1 // the column
	for i := range m.Course.Rows {
		if i < len(worked.Memory) {
			m.Course.Rows[i][memory] = float64(worked.Memory[i]) / 1e6
		}
	}
	m.Tasks, m.Value = worked.Tasks, float64(worked.Tasks)/(step*soakSteps).Seconds()
	growth := func(column int) float64 {
		return m.Course.Rows[soakSteps-1][column] / m.Course.Rows[soakSteps/2-1][column]
	}
	m.Figures = []lab.Figure{
		{Name: heapGrowth, Value: growth(2)}, {Name: indexGrowth, Value: growth(3)}, {Name: memoryGrowth, Value: growth(memory)},
	}
	return m, nil
}

// underLoad enqueues at the spec's rate for as long as the case lasts, and
// looks at the tables after every step.
func underLoad(ctx context.Context, l *lab.Lab, db *lab.Database, spec contest.Spec, step time.Duration) (course *lab.Course, err error) {
	load, err := contest.Shaped().Start(ctx, l, "load", spec)
	if err != nil {
		return nil, err
	}
	defer func() {
		load.Stop()
		_, failed := load.Wait(nil)
		err = errors.Join(err, failed)
	}()
	conn, err := db.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	course = &lab.Course{Columns: []string{"second", "worker's memory", "tasks", "its indexes", "history", "live rows", "dead rows", "waiting"}}
	tick := time.NewTicker(step)
	defer tick.Stop()
	for i := range soakSteps {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		row, err := sizes(ctx, conn)
		if err != nil {
			return nil, err
		}
		course.Rows = append(course.Rows, append([]float64{(time.Duration(i+1) * step).Seconds(), 0}, row...))
		l.Logf("  %s: %v", time.Duration(i+1)*step, row)
	}
	return course, nil
}

// sizes are the columns from the third on.
func sizes(ctx context.Context, conn *pgx.Conn) ([]float64, error) {
	row := make([]float64, 6)
	err := conn.QueryRow(ctx, `
		SELECT pg_table_size(t.relid) / 1e6, pg_indexes_size(t.relid) / 1e6,
			(SELECT sum(pg_total_relation_size(p.relid)) / 1e6 FROM pg_partition_tree('orchestrator.tasks_finished') AS p),
			t.n_live_tup, t.n_dead_tup, (SELECT count(*) FROM orchestrator.tasks WHERE state = 0)
		FROM pg_stat_user_tables AS t WHERE t.relid = 'orchestrator.tasks'::regclass`).
		Scan(&row[0], &row[1], &row[2], &row[3], &row[4], &row[5])
	if err != nil {
		return nil, fmt.Errorf("bench: sizes of tables: %w", err)
	}
	return row, nil
}
