package contest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The settings of River's own benchmark, `river bench`.
const (
	riverMaxWorkers    = 2000
	riverFetchCooldown = 2 * time.Millisecond
	riverPollInterval  = 20 * time.Millisecond
)

// riverDefaultWorkers stands for defaults: River asks for a number, and its
// documentation takes 100.
const riverDefaultWorkers = 100

// riverConns is the size of River's pool, where a case does not set one. River
// writes each insert by itself, so more connections are more commits at a time.
const riverConns = 32

func riverTuned() Contestant {
	return riverContestant(RiverTuned, false, fmt.Sprintf("MaxWorkers %d, FetchCooldown %s, FetchPollInterval %s, as in its own benchmark",
		riverMaxWorkers, riverFetchCooldown, riverPollInterval))
}

func riverDefault() Contestant {
	return riverContestant(River, true, fmt.Sprintf("its defaults, with MaxWorkers %d as in its documentation", riverDefaultWorkers))
}

func riverContestant(name string, defaults bool, settings string) Contestant {
	return Contestant{
		Name: name,
		About: func(context.Context) string {
			return fmt.Sprintf("River %s with riverpgxv5 on pgx %s: %s; a pool of %d connections; history kept",
				moduleVersion("github.com/riverqueue/river"), moduleVersion("github.com/jackc/pgx/v5"), settings, riverConns)
		},
		defaults: defaults,
		jobs:     jobs(openRiver),
		tables:   []string{"river_job"},
		left:     counted(`SELECT count(*) FROM river_job WHERE state <> 'completed'`),
		kept:     counted(`SELECT count(*) FROM river_job WHERE state = 'completed'`),
	}
}

type riverQueue struct {
	pool     *pgxpool.Pool
	driver   *riverpgxv5.Driver
	inserter *river.Client[pgx.Tx] // without workers, as in a program that only enqueues
	defaults bool
}

func openRiver(ctx context.Context, spec Spec) (queue, error) {
	config, err := pgxpool.ParseConfig(spec.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = riverConns
	if spec.Conns > 0 {
		config.MaxConns = int32(spec.Conns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	q := &riverQueue{pool: pool, driver: riverpgxv5.New(pool), defaults: spec.Defaults}
	if q.inserter, err = river.NewClient(q.driver, &river.Config{Logger: quietLogger()}); err != nil {
		pool.Close()
		return nil, err
	}
	return q, nil
}

func (q *riverQueue) close() error {
	q.pool.Close()
	return nil
}

func (q *riverQueue) prepare(ctx context.Context) error {
	m, err := rivermigrate.New(q.driver, nil)
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

type riverNoop struct {
	UserID   int64  `json:"user_id"`
	Template string `json:"template"`
}

func (riverNoop) Kind() string { return "bench_noop" }

type riverProbe struct {
	Sent int64 `json:"sent"`
}

func (riverProbe) Kind() string { return "bench_probe" }

func (q *riverQueue) enqueueMany(ctx context.Context, n int) (int, error) {
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i].Args = riverNoop{UserID: userID(i), Template: template}
	}
	results, err := q.inserter.InsertMany(ctx, params)
	return len(results), err
}

func (q *riverQueue) enqueueOne(ctx context.Context) error {
	_, err := q.inserter.Insert(ctx, riverNoop{UserID: userID(0), Template: template}, nil)
	return err
}

func (q *riverQueue) enqueueInTx(ctx context.Context) (call time.Duration, err error) {
	err = pgx.BeginFunc(ctx, q.pool, func(tx pgx.Tx) error {
		began := time.Now()
		_, err := q.inserter.InsertTx(ctx, tx, riverNoop{UserID: userID(0), Template: template}, nil)
		call = time.Since(began)
		return err
	})
	return call, err
}

func (q *riverQueue) enqueueProbe(ctx context.Context) error {
	_, err := q.inserter.Insert(ctx, riverProbe{Sent: time.Now().UnixNano()}, nil)
	return err
}

type riverNoopWorker struct {
	river.WorkerDefaults[riverNoop]
	handlers
}

// Work does nothing.
func (w *riverNoopWorker) Work(context.Context, *river.Job[riverNoop]) error {
	w.noop()
	return nil
}

type riverProbeWorker struct {
	river.WorkerDefaults[riverProbe]
	handlers
}

// Work takes the time.
func (w *riverProbeWorker) Work(_ context.Context, job *river.Job[riverProbe]) error {
	w.probe(time.Unix(0, job.Args.Sent))
	return nil
}

func (q *riverQueue) work(ctx context.Context, h handlers) (stop func() error, err error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverNoopWorker{handlers: h})
	river.AddWorker(workers, &riverProbeWorker{handlers: h})
	config := &river.Config{Logger: quietLogger(), Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverDefaultWorkers}}}
	if !q.defaults {
		config.FetchCooldown, config.FetchPollInterval = riverFetchCooldown, riverPollInterval
		config.Queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: riverMaxWorkers}
	}
	client, err := river.NewClient(q.driver, config)
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return client.Stop(context.WithoutCancel(ctx)) }, nil
}
