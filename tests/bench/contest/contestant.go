package contest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// Names of the contestants.
const (
	Engine     = "orchestrator"
	RiverTuned = "river tuned"
	River      = "river"
	Graphile   = "graphile-worker"
	Asynq      = "asynq"
	Bare       = "bare loop"
)

// Contestant is a queue that takes part.
type Contestant struct {
	Name string
	// About says which version it is and how it is set.
	About func(ctx context.Context) string
	// defaults is Spec.Defaults of its jobs.
	defaults bool
	// missing says why it cannot take part here; nil means that it always can.
	missing func(ctx context.Context, l *lab.Lab) error
	// jobs are run by this program; command names another program for some.
	jobs    map[string]lab.Job
	command func(ctx context.Context, l *lab.Lab, job string, spec Spec) (lab.Command, error)
	// place is nil for a fresh database of the lab.
	place func(ctx context.Context, l *lab.Lab) (Place, error)
	// tables are vacuumed before a drain.
	tables []string
	// left counts the tasks that have not succeeded, kept those that have;
	// kept is nil where they are not kept.
	left, kept func(ctx context.Context, p Place) (int64, error)
}

// Place is where a contestant keeps its tasks: a [lab.Database], or a Redis.
type Place interface {
	URL() string
	// Settle brings it into the state in which everybody is measured.
	Settle(ctx context.Context, tables ...string) error
	// Observe runs do and tells what the server did meanwhile.
	Observe(ctx context.Context, do func() error) (lab.Observed, error)
	Drop() error
}

// All are the contestants that the report tells of, in its order.
func All() []Contestant {
	return []Contestant{engine(), riverTuned(), riverDefault(), graphile(), asynqOnRedis(), bareLoop()}
}

// ByName finds a contestant, also one of the cases without a peer.
func ByName(name string) (Contestant, error) {
	for _, c := range append(All(), Shaped(), PlainPool()) {
		if c.Name == name {
			return c, nil
		}
	}
	return Contestant{}, fmt.Errorf("bench: no contestant %q", name)
}

// Jobs are those of a contestant that this program runs as a child.
func Jobs(contestant string) map[string]lab.Job {
	c, err := ByName(contestant)
	if err != nil {
		return nil
	}
	return maps.Clone(c.jobs)
}

// Present is the Present of cases whose contestants are those of All.
func Present(ctx context.Context, l *lab.Lab, name string) error {
	c, err := ByName(name)
	if err != nil || c.missing == nil {
		return err
	}
	return c.missing(ctx, l)
}

// In opens a fresh place with the contestant's tables in it, does something
// there, and drops it.
func (c Contestant) In(ctx context.Context, l *lab.Lab, do func(Place) error) (err error) {
	var p Place
	if c.place != nil {
		p, err = c.place(ctx, l)
	} else {
		p, err = l.Database(ctx)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Drop()) }()
	if _, err := c.Run(ctx, l, "prepare", Spec{URL: p.URL()}, nil); err != nil {
		return err
	}
	return do(p)
}

// Filled is In a place with tasks to drain. A database is filled once a run and
// copied, which takes a part of the time.
func (c Contestant) Filled(ctx context.Context, l *lab.Lab, tasks int, do func(Place) error) (err error) {
	if c.place != nil {
		return c.In(ctx, l, func(p Place) error {
			if err := c.Fill(ctx, l, Spec{URL: p.URL(), Tasks: tasks}); err != nil {
				return err
			}
			return do(p)
		})
	}
	db, err := l.Copy(ctx, fmt.Sprintf("%d tasks of %s", tasks, c.Name), func(ctx context.Context, db *lab.Database) error {
		if _, err := c.Run(ctx, l, "prepare", Spec{URL: db.URL()}, nil); err != nil {
			return err
		}
		if err := c.Fill(ctx, l, Spec{URL: db.URL(), Tasks: tasks}); err != nil {
			return err
		}
		return db.Settle(ctx, c.tables...)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Drop()) }()
	return do(db)
}

// Start starts a job of the contestant's in a process of its own.
func (c Contestant) Start(ctx context.Context, l *lab.Lab, job string, spec Spec) (*lab.Child, error) {
	spec.Defaults = spec.Defaults || c.defaults
	var command lab.Command
	if c.command != nil {
		var err error
		if command, err = c.command(ctx, l, job, spec); err != nil {
			return nil, err
		}
	}
	return l.Start(ctx, command, c.Name, job, spec)
}

// Run runs a job in a process of its own and reads its result, unless that is
// nil.
func (c Contestant) Run(ctx context.Context, l *lab.Lab, job string, spec Spec, result any) (lab.Usage, error) {
	child, err := c.Start(ctx, l, job, spec)
	if err != nil {
		return lab.Usage{}, err
	}
	return child.Wait(result)
}

// fillBatch is how many tasks a fill enqueues at a time.
const fillBatch = 5000

// Fill enqueues the tasks of a spec, for a drain.
func (c Contestant) Fill(ctx context.Context, l *lab.Lab, spec Spec) error {
	spec.Batch = fillBatch
	_, err := c.Run(ctx, l, "fill", spec, nil)
	return err
}

// Drain measures draining what is in the place: all of its tasks, which it
// verifies.
func (c Contestant) Drain(ctx context.Context, l *lab.Lab, p Place, tasks int) (lab.Measure, error) {
	m := lab.Measure{Tasks: tasks}
	if err := p.Settle(ctx, c.tables...); err != nil {
		return m, err
	}
	var result Timed
	var err error
	m.Observed, err = p.Observe(ctx, func() (err error) {
		m.Usage, err = c.Run(ctx, l, "drain", Spec{URL: p.URL(), Tasks: tasks}, &result)
		return err
	})
	if err != nil {
		return m, err
	}
	m.Value = result.Rate()
	return m, c.verify(ctx, p, tasks, result.Tasks)
}

// verify holds a drain to what the tables say.
func (c Contestant) verify(ctx context.Context, p Place, tasks, told int) error {
	if told != tasks {
		return fmt.Errorf("bench: %s says that it ran %d tasks of %d", c.Name, told, tasks)
	}
	left, err := c.left(ctx, p)
	if err != nil {
		return err
	}
	if left != 0 {
		return fmt.Errorf("bench: %s left %d tasks of %d", c.Name, left, tasks)
	}
	if c.kept == nil {
		return nil
	}
	kept, err := c.kept(ctx, p)
	if err != nil {
		return err
	}
	if kept != int64(tasks) {
		return fmt.Errorf("bench: %s has %d tasks in its history after %d", c.Name, kept, tasks)
	}
	return nil
}

// counted is a left or kept by a query.
func counted(sql string) func(ctx context.Context, p Place) (int64, error) {
	return func(ctx context.Context, p Place) (int64, error) {
		return p.(*lab.Database).Count(ctx, sql)
	}
}

// moduleVersion is that of a module this program is built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "of unknown version"
}
