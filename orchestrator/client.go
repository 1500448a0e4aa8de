package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/groupcommit"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// Client enqueues tasks, waits for results and looks into the queue. It is
// safe for concurrent use; a program needs one. Close it after the workers
// that use it have returned from Run.
type Client struct {
	pool    *pgxpool.Pool
	ownPool bool
	db      *bun.DB
	store   *store.Store
	logger  *slog.Logger
	// transactionPooler: no connection stays ours from one transaction to the next.
	transactionPooler bool

	metrics  *telemetry.Metrics
	gatherer prometheus.Gatherer
	tracing  *telemetry.Tracing
	running  runningWorkers

	contracts contracts
	// rawContracts serves EnqueueRaw.
	rawContracts rawContracts
	inserts      *groupcommit.Group[*pendingInsert]
	results      *results
	wakeups      *wakeups

	closeOnce sync.Once

	// keyed holds a token for each enqueue that may be waiting for an
	// idempotency key. One that a user's open transaction holds is waited for
	// on a connection, and these must not become all that the pool has.
	keyed chan struct{}
}

// ClientConfig is what a client may be told; the zero value is usable.
type ClientConfig struct {
	// Schema holds the engine's tables; "" is "orchestrator".
	Schema string
	// TransactionPooler says that the database is reached through a pooler in
	// transaction mode (PgBouncer), which loses prepared statements and LISTEN;
	// workers poll.
	TransactionPooler bool
	// Logger is nil for slog.Default().
	Logger *slog.Logger
	// Registerer gets the engine's metrics; nil is no metrics. Clients of one
	// process may share it.
	Registerer prometheus.Registerer
	// Gatherer is what [Client.HTTPHandler] serves as /metrics; nil is the
	// Registerer, if it gathers too, as a *prometheus.Registry and
	// prometheus.DefaultRegisterer do.
	Gatherer prometheus.Gatherer
	// TracerProvider gets the engine's spans, such as otel.GetTracerProvider();
	// nil is no tracing.
	TracerProvider trace.TracerProvider
	// RetrySpans is where the spans of retries stand; the zero value is
	// [RetriesLinked].
	RetrySpans RetrySpans
	// PropagateBaggage carries the OpenTelemetry baggage of the enqueuing
	// context to the handlers' contexts. It is stored in the task's metadata,
	// under the key "baggage", where everybody who may look at tasks sees it.
	PropagateBaggage bool
}

// RetrySpans is where the spans of retries stand in a trace.
type RetrySpans string

const (
	// RetriesLinked makes each retry the root of a trace of its own, with links
	// to the span that enqueued the task and to the attempt before: a trace
	// never grows over hours.
	RetriesLinked RetrySpans = ""
	// RetriesInTrace makes all attempts children of the span that enqueued
	// the task, however late: one trace tells it all, if the tracing system
	// keeps it open for so long.
	RetriesInTrace RetrySpans = "in_trace"
)

// Open connects to the database at url and returns a client that owns the
// connections. config may be omitted; [ClientConfigFromEnv] reads one.
func Open(ctx context.Context, url string, config ...ClientConfig) (*Client, error) {
	if url == "" {
		return nil, errors.New("orchestrator: no database: set DATABASE_URL, or run your program with `orchestrator dev -- COMMAND`, which starts a private PostgreSQL and sets it")
	}
	poolConfig, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: database URL: %w", err)
	}
	// bun puts arguments into the text of its statements; pgx's default mode
	// would prepare each of those texts anew. Hot statements ask for theirs.
	poolConfig.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	if len(config) == 0 || !config[0].TransactionPooler { // whose connections would keep it for whoever is next
		poolConfig.AfterConnect = store.Uncompiled
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: open database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("orchestrator: connect to database: %w", err)
	}
	client, err := NewClient(pool, config...)
	if err != nil {
		pool.Close()
		return nil, err
	}
	client.ownPool = true
	return client, nil
}

// NewClient returns a client over a pool of the caller's, which stays the
// caller's to close. It does not connect. Give the pool the default mode
// [pgx.QueryExecModeExec]: bun writes arguments into its statements, which the
// mode of pgx's own choice would prepare one by one.
func NewClient(pool *pgxpool.Pool, config ...ClientConfig) (*Client, error) {
	var cfg ClientConfig
	switch len(config) {
	case 0:
	case 1:
		cfg = config[0]
	default:
		return nil, errors.New("orchestrator: NewClient takes at most one ClientConfig")
	}
	if cfg.Schema == "" {
		cfg.Schema = migrations.DefaultSchema
	}
	if err := migrations.CheckSchema(cfg.Schema); err != nil {
		return nil, err
	}
	switch cfg.RetrySpans {
	case RetriesLinked, RetriesInTrace:
	default:
		return nil, fmt.Errorf("orchestrator: ClientConfig.RetrySpans %q: want RetriesLinked or RetriesInTrace", string(cfg.RetrySpans))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	metrics, err := telemetry.NewMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: register metrics: %w", err)
	}
	db := bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())
	c := &Client{pool: pool, db: db, logger: cfg.Logger, transactionPooler: cfg.TransactionPooler, store: store.New(pool, db, cfg.Schema, cfg.TransactionPooler)}
	c.metrics, c.tracing = metrics, telemetry.NewTracing(cfg.TracerProvider, Version(),
		telemetry.TracingConfig{RetriesInTrace: cfg.RetrySpans == RetriesInTrace, Baggage: cfg.PropagateBaggage})
	c.gatherer = gathererOf(cfg.Gatherer, cfg.Registerer)
	c.inserts = groupcommit.NewPair(c.flushInserts) // one on its way while the other waits for the disk
	c.results = newResults(c)
	c.wakeups = newWakeups(c)
	c.keyed = make(chan struct{}, max(1, pool.Config().MaxConns/2))
	return c, nil
}

// connect makes a connection beside the pool, as the pool would make one:
// BeforeConnect may bring credentials that change.
func (c *Client) connect(ctx context.Context) (*pgx.Conn, error) {
	config := c.pool.Config()
	if config.BeforeConnect != nil {
		if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, config.ConnConfig)
}

// DB is a bun handle on the client's pool, for the caller's own tables and for
// transactions to enqueue in.
func (c *Client) DB() *bun.DB { return c.db }

// Schema is the schema of the engine's tables.
func (c *Client) Schema() string { return c.store.Schema() }

// Migrator applies and inspects the engine's migrations.
func (c *Client) Migrator() *migrations.Migrator {
	m, err := migrations.New(c.db, c.store.Schema())
	if err != nil {
		panic(err) // NewClient has checked the schema
	}
	return m
}

// Close waits for notifications on their way and closes the connections that
// [Open] made. Later calls do nothing.
func (c *Client) Close() error {
	var err error
	c.closeOnce.Do(func() {
		c.wakeups.close()
		c.results.close()
		err = c.db.Close()
		if c.ownPool {
			c.pool.Close()
		}
	})
	return err
}
