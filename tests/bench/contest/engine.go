package contest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/tasks"
)

// poolSize is how many tasks the engine's worker runs at a time in a drain.
const poolSize = 200

func engine() Contestant {
	return Contestant{
		Name: Engine,
		About: func(context.Context) string {
			return fmt.Sprintf("this repository, through its generated code: validated payload, typed handler, history kept, metrics on, tracing on with a sampler "+
				"that takes nothing; PoolSize %d for throughput, defaults otherwise; pgx %s, the pool's own size", poolSize, moduleVersion("github.com/jackc/pgx/v5"))
		},
		jobs:   jobs(openEngine),
		tables: []string{"orchestrator.tasks"},
		left:   counted(EngineLeft),
		kept:   counted(EngineKept),
	}
}

// What the engine's tables hold of tasks: those that have not succeeded, and
// those that have.
const (
	EngineLeft = `SELECT (SELECT count(*) FROM orchestrator.tasks) + (SELECT count(*) FROM orchestrator.tasks_dead)`
	EngineKept = `SELECT count(*) FROM orchestrator.tasks_finished`
)

// quietLogger tells what a run should not have, on stderr.
func quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type engineQueue struct {
	client *orchestrator.Client
	db     *bun.DB
	config orchestrator.WorkerConfig
}

func openEngine(ctx context.Context, spec Spec) (queue, error) { return connectEngine(ctx, spec) }

// connectEngine connects as every case does: with metrics, and with tracing
// whose sampler takes nothing.
func connectEngine(ctx context.Context, spec Spec) (*engineQueue, error) {
	url := spec.URL
	if spec.Conns > 0 {
		url += "&pool_max_conns=" + strconv.Itoa(spec.Conns)
	}
	client, err := orchestrator.Open(ctx, url, orchestrator.ClientConfig{
		Registerer:     prometheus.NewRegistry(),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
		Logger:         quietLogger(),
	})
	if err != nil {
		return nil, err
	}
	q := &engineQueue{client: client, db: client.DB(), config: orchestrator.WorkerConfig{PoolSize: cmp.Or(spec.Pool, poolSize)}}
	if spec.Defaults {
		q.config = orchestrator.WorkerConfig{}
	}
	return q, nil
}

func (q *engineQueue) close() error { return q.client.Close() }

func (q *engineQueue) prepare(ctx context.Context) error {
	_, err := q.client.Migrator().Up(ctx)
	return err
}

func (q *engineQueue) enqueueMany(ctx context.Context, n int) (int, error) {
	payloads := make([]tasks.BenchNoopPayload, n)
	for i := range payloads {
		payloads[i] = tasks.BenchNoopPayload{UserID: userID(i), Template: template}
	}
	handles, err := tasks.EnqueueBenchNoopMany(ctx, q.client, payloads)
	return len(handles), err
}

func (q *engineQueue) enqueueOne(ctx context.Context) error {
	_, err := tasks.EnqueueBenchNoop(ctx, q.client, tasks.BenchNoopPayload{UserID: userID(0), Template: template})
	return err
}

func (q *engineQueue) enqueueInTx(ctx context.Context) (call time.Duration, err error) {
	err = q.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		began := time.Now()
		_, err := tasks.EnqueueBenchNoop(ctx, q.client.InTx(tx), tasks.BenchNoopPayload{UserID: userID(0), Template: template})
		call = time.Since(began)
		return err
	})
	return call, err
}

func (q *engineQueue) enqueueProbe(ctx context.Context) error {
	_, err := tasks.EnqueueBenchProbe(ctx, q.client, tasks.BenchProbePayload{Sent: time.Now().UnixNano()})
	return err
}

// engineHandlers are the typed handlers.
type engineHandlers struct{ handlers }

func (h engineHandlers) HandleBenchNoop(context.Context, *tasks.BenchNoopTask) error {
	h.noop()
	return nil
}

func (h engineHandlers) HandleBenchProbe(_ context.Context, t *tasks.BenchProbeTask) error {
	h.probe(time.Unix(0, t.Payload.Sent))
	return nil
}

func (q *engineQueue) work(ctx context.Context, h handlers) (stop func() error, err error) {
	mux := orchestrator.NewMux()
	tasks.RegisterBenchNoop(mux, engineHandlers{h})
	tasks.RegisterBenchProbe(mux, engineHandlers{h})
	return q.start(ctx, mux, h.ended), nil
}

// start starts a worker of the tasks in mux.
func (q *engineQueue) start(ctx context.Context, mux *orchestrator.Mux, ended func()) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		err := orchestrator.NewWorker(q.client, mux, q.config).Run(ctx)
		ended()
		failed <- err
	}()
	return func() error {
		cancel()
		return <-failed
	}
}
