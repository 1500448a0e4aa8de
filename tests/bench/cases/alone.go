package cases

import (
	"context"
	"errors"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// This file is what the cases without a peer have in common: their contestants
// are variants of what the engine is asked to do.

// variants are contestants by name.
type variants map[string]aloneDrain

// aloneDrain is a drain by the engine alone. Other variants of its case differ
// in one field.
type aloneDrain struct {
	tasks int // to drain, before they are scaled
	pool  int // contest.Spec.Pool
	shape contest.Shape
	// place opens the database; nil is a fresh one with the engine's tables.
	place func(ctx context.Context, l *lab.Lab) (*lab.Database, error)
	// behind adds tasks when those to drain are there, and says how many.
	behind func(ctx context.Context, l *lab.Lab, db *lab.Database) (int, error)
	// beside is open while the tasks are drained.
	beside func(ctx context.Context, db *lab.Database) (end func() error, err error)
}

// round measures one variant.
func (all variants) round(ctx context.Context, l *lab.Lab, name string) (m lab.Measure, err error) {
	v := all[name]
	spec := contest.Spec{Shape: v.shape, Pool: v.pool, Tasks: l.Tasks(v.tasks)}
	place := v.place
	if place == nil {
		place = fresh
	}
	db, err := place(ctx, l)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, db.Drop()) }()
	spec.URL = db.URL()
	if err := contest.Shaped().Fill(ctx, l, spec); err != nil {
		return m, err
	}
	more := 0
	if v.behind != nil {
		if more, err = v.behind(ctx, l, db); err != nil {
			return m, err
		}
	}
	if err := db.Settle(ctx, "orchestrator.tasks"); err != nil {
		return m, err
	}
	if v.beside != nil {
		end, err := v.beside(ctx, db)
		if err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	return drainAlone(ctx, l, db, spec, more)
}

// fresh is a database with the engine's tables.
func fresh(ctx context.Context, l *lab.Lab) (*lab.Database, error) {
	db, err := l.Database(ctx)
	if err != nil {
		return nil, err
	}
	if err := prepareIn(ctx, l, db); err != nil {
		return nil, errors.Join(err, db.Drop())
	}
	return db, nil
}

// prepareIn makes the engine's tables.
func prepareIn(ctx context.Context, l *lab.Lab, db *lab.Database) error {
	_, err := contest.Shaped().Run(ctx, l, "prepare", contest.Spec{URL: db.URL()}, nil)
	return err
}

// drainAlone measures the drain of what has been filled in, and holds it to what
// the tables say: with more tasks behind, the worker has run some of them when it
// has stopped.
func drainAlone(ctx context.Context, l *lab.Lab, db *lab.Database, spec contest.Spec, more int) (m lab.Measure, err error) {
	before, err := db.Count(ctx, contest.EngineKept)
	if err != nil {
		return m, err
	}
	var result contest.Timed
	m.Observed, err = db.Observe(ctx, func() (err error) {
		m.Usage, err = contest.Shaped().Run(ctx, l, "drain", spec, &result)
		return err
	})
	if err != nil {
		return m, err
	}
	m.Tasks, m.Value = result.Tasks, result.Rate()
	left, err := db.Count(ctx, contest.EngineLeft)
	if err != nil {
		return m, err
	}
	finished, err := db.Count(ctx, contest.EngineKept)
	if err != nil {
		return m, err
	}
	if result.Tasks < spec.Tasks || finished-before != int64(result.Tasks) || left != int64(spec.Tasks+more-result.Tasks) {
		return m, fmt.Errorf("bench: of %d tasks to drain and %d behind them %d were run; %d are finished and %d left",
			spec.Tasks, more, result.Tasks, finished-before, left)
	}
	return m, nil
}
