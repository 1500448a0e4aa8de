package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Config says what to measure and for how long.
type Config struct {
	URL string // of the database
	// Client is how to connect and log; its Schema is not used.
	Client orchestrator.ClientConfig
	// Duration is about how long all steps take together, at least [MinDuration].
	Duration time.Duration
	// Tasks is how many tasks are enqueued in batches and drained, at most:
	// fewer when the time is up. At least 1.
	Tasks int
	Slots int // how many tasks the draining worker runs at a time, at least 1
	// Progress is told what is about to be measured; nil is nobody.
	Progress func(step string)
}

// MinDuration is the least time in which there is something to measure.
const MinDuration = time.Second

// Check returns an error that names the setting that cannot be.
func (c Config) Check() error {
	switch {
	case c.Duration < MinDuration:
		return fmt.Errorf("duration %s: want at least %s", c.Duration, MinDuration)
	case c.Tasks < 1:
		return fmt.Errorf("tasks %d: want 1 or more", c.Tasks)
	case c.Slots < 1:
		return fmt.Errorf("slots %d: want 1 or more", c.Slots)
	}
	return nil
}

// goroutines is by how many tasks are enqueued one by one.
var goroutines = []int{1, 8, 64, 256}

// shares of the duration: what is left is for making and dropping the schema.
const (
	commitShare  = 0.08
	bulkShare    = 0.08
	drainShare   = 0.25
	pickupShare  = 0.17
	enqueueShare = 0.08 // for each of goroutines
)

// run is one measuring of one database.
type run struct {
	Config
	client *orchestrator.Client // in the schema of its own
}

// Run measures. Whatever happens, the schema is dropped before Run returns, or
// the error is an [ErrLeftBehind].
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	err = inSchema(ctx, c.URL, c.Client, func(client *orchestrator.Client) error {
		r := &run{Config: c, client: client}
		report, err = r.all(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// all goes through the steps. Single tasks come last, because they stay: a
// table full of them would weigh on what is measured after them.
func (r *run) all(ctx context.Context) (*Report, error) {
	var report Report
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"server and round trip", func() (err error) { report.Server, err = r.server(ctx); return err }},
		{"commits", func() (err error) { report.Commit, err = r.commits(ctx); return err }},
		{"enqueue in batches", func() (err error) { report.Bulk, err = r.bulk(ctx); return err }},
		{"drain", func() (err error) { report.Drain, err = r.drain(ctx, report.Bulk.Tasks); return err }},
		{"pick-up", func() (err error) { report.Pickup, err = r.pickup(ctx); return err }},
		{"enqueue one by one", func() (err error) { report.Enqueue, err = r.enqueue(ctx); return err }},
	} {
		if r.Progress != nil {
			r.Progress(step.name)
		}
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	report.Reading = report.read()
	return &report, nil
}

// share is a step's part of the time.
func (r *run) share(of float64) time.Duration {
	return time.Duration(of * float64(r.Duration))
}

// definition is a task type of a queue of its own, with an ordinary small payload.
func definition(name string, slots int) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: "bench:" + name, Queue: &orchestrator.Queue{Name: "bench_" + name, PerWorker: slots}, Fingerprint: "v1:bench",
		Retry: orchestrator.RetryPolicy{MaxAttempts: 1}, PayloadSchema: `{"type": "object"}`,
	}
}

// payload is what tasks carry where nobody looks at it.
const payload = `{"user_id": 1204, "template": "welcome"}`

// working runs do beside a worker, which has ended when working returns.
func working(ctx context.Context, worker *orchestrator.Worker, do func(ctx context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := worker.Run(ctx)
		stop() // do would wait for a worker that is gone
		ended <- err
	}()
	err := do(ctx)
	stop()
	if workerErr := <-ended; workerErr != nil {
		return workerErr
	}
	return err
}
