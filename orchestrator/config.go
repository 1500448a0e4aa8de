package orchestrator

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/task-orchestrator/task-orchestrator/migrations"
)

// WorkerConfig is what a worker may be told. The zero value is usable and
// reads no environment; [WorkerConfigFromEnv] reads the variables named here.
type WorkerConfig struct {
	// Queues are the queues to work, by name; empty means every queue that a
	// task registered in the mux is declared in. WORKER_QUEUES, comma-separated.
	Queues []string `env:"WORKER_QUEUES"`
	// PoolSize is how many tasks run at a time; 0 means the sum of the queues'
	// own limits. WORKER_POOL_SIZE.
	PoolSize int `env:"WORKER_POOL_SIZE"`
	// ClaimInterval is how often an idle worker looks for tasks that no
	// notification told it of; 0 is 1s. CLAIM_INTERVAL.
	ClaimInterval time.Duration `env:"CLAIM_INTERVAL"`
	// HeartbeatInterval is how often the worker renews its lease; 0 is 10s.
	// HEARTBEAT_INTERVAL.
	HeartbeatInterval time.Duration `env:"HEARTBEAT_INTERVAL"`
	// WorkerTimeout is the lease: a worker without a heartbeat for this long
	// loses its tasks. 0 is 30s; at least two heartbeats. WORKER_TIMEOUT.
	WorkerTimeout time.Duration `env:"WORKER_TIMEOUT"`
	// LeaderTerm is how long leadership lasts unless renewed; 0 is 30s.
	// LEADER_TERM.
	LeaderTerm time.Duration `env:"LEADER_TERM"`
	// CleanupInterval is how often the leader removes what is out of date; 0
	// is 1m. CLEANUP_INTERVAL.
	CleanupInterval time.Duration `env:"CLEANUP_INTERVAL"`
	// DeadRetention is how long dead letters are kept; 0 is 90 days, a negative
	// one for ever. DEAD_RETENTION, as 2160h, 90d or none.
	DeadRetention time.Duration `env:"DEAD_RETENTION"`
	// ShutdownTimeout is how long running tasks may go on when the worker
	// stops, before they are cancelled and given back; 0 is 30s.
	// SHUTDOWN_TIMEOUT.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT"`
	// PollOnly does without LISTEN, which needs a connection of its own and
	// does not work through a pooler in transaction mode. CLAIM_POLL_ONLY.
	PollOnly bool `env:"CLAIM_POLL_ONLY"`
	// HTTPAddr is where the worker serves [Client.HTTPHandler] while it runs;
	// empty is nowhere. A port alone is one of 127.0.0.1; 0.0.0.0:9464 is
	// every interface. HTTP_ADDR.
	HTTPAddr string `env:"HTTP_ADDR"`
	// HTTPPprof adds /debug/pprof/ there. HTTP_PPROF.
	HTTPPprof bool `env:"HTTP_PPROF"`
	// WebhookSecret signs what webhooks (on_finish in a spec) are told: whsec_
	// and base64 of 24 to 64 bytes. Of two, with a space between them, each
	// signs, so that one can replace the other. WEBHOOK_SECRET.
	WebhookSecret string `env:"WEBHOOK_SECRET"`
	// WebhookAllowPrivate lets webhooks be at addresses that are not public:
	// true, or networks such as 10.0.0.0/8,fd00::/8. WEBHOOK_ALLOW_PRIVATE.
	WebhookAllowPrivate string `env:"WEBHOOK_ALLOW_PRIVATE"`
	// WebhookOff leaves deliveries to other workers. WEBHOOK_OFF.
	WebhookOff bool `env:"WEBHOOK_OFF"`
	// Logger is nil for the client's.
	Logger *slog.Logger
}

// WorkerConfigFromEnv reads the environment variables that [WorkerConfig]
// names. An unset or empty one leaves the default. The error lists every bad
// variable with its value and what is allowed.
func WorkerConfigFromEnv() (WorkerConfig, error) { return workerConfigFrom(environment()) }

func workerConfigFrom(environ map[string]string) (WorkerConfig, error) {
	var c WorkerConfig
	deadForEver := strings.TrimSpace(environ["DEAD_RETENTION"]) == "none"
	if deadForEver {
		environ = maps.Clone(environ)
		delete(environ, "DEAD_RETENTION")
	}
	if err := parseEnv(&c, environ); err != nil {
		return WorkerConfig{}, err
	}
	if deadForEver {
		c.DeadRetention = -1
	}
	if _, err := c.withDefaults(); err != nil {
		return WorkerConfig{}, err
	}
	return c, nil
}

// withDefaults returns c with every zero filled in, or an error that names the
// variable of the setting that cannot be.
func (c WorkerConfig) withDefaults() (WorkerConfig, error) {
	var errs []error
	for _, d := range []struct {
		name  string
		value *time.Duration
		unset time.Duration
	}{
		{"CLAIM_INTERVAL", &c.ClaimInterval, time.Second},
		{"HEARTBEAT_INTERVAL", &c.HeartbeatInterval, 10 * time.Second},
		{"WORKER_TIMEOUT", &c.WorkerTimeout, 30 * time.Second},
		{"LEADER_TERM", &c.LeaderTerm, 30 * time.Second},
		{"CLEANUP_INTERVAL", &c.CleanupInterval, time.Minute},
		{"SHUTDOWN_TIMEOUT", &c.ShutdownTimeout, 30 * time.Second},
	} {
		switch {
		case *d.value == 0:
			*d.value = d.unset
		case *d.value < time.Millisecond:
			errs = append(errs, fmt.Errorf("orchestrator: %s=%s: want at least 1ms", d.name, *d.value))
		}
	}
	switch {
	case c.DeadRetention == 0:
		c.DeadRetention = 90 * 24 * time.Hour
	case c.DeadRetention > 0 && c.DeadRetention < time.Minute:
		errs = append(errs, fmt.Errorf("orchestrator: DEAD_RETENTION=%s: want at least 1m, or none to keep dead letters for ever", c.DeadRetention))
	}
	if _, _, err := c.webhooks(); err != nil {
		errs = append(errs, err)
	}
	if c.PoolSize < 0 {
		errs = append(errs, fmt.Errorf("orchestrator: WORKER_POOL_SIZE=%d: want 1 or more, or nothing for the sum over the queues", c.PoolSize))
	}
	if c.HTTPAddr != "" {
		if _, err := listenAddr(c.HTTPAddr); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 && c.WorkerTimeout < 2*c.HeartbeatInterval {
		errs = append(errs, fmt.Errorf("orchestrator: WORKER_TIMEOUT=%s: want at least twice HEARTBEAT_INTERVAL=%s, so that one late heartbeat loses no lease",
			c.WorkerTimeout, c.HeartbeatInterval))
	}
	return c, errors.Join(errs...)
}

// ClientConfigFromEnv reads ORCHESTRATOR_SCHEMA, DATABASE_POOLER
// ("transaction" or nothing), LOG_LEVEL (debug, info, warn, error) and
// LOG_FORMAT (text, json). DATABASE_URL is for [Open].
func ClientConfigFromEnv() (ClientConfig, error) { return clientConfigFrom(environment()) }

func clientConfigFrom(environ map[string]string) (ClientConfig, error) {
	var c struct {
		Schema    string     `env:"ORCHESTRATOR_SCHEMA"`
		Pooler    string     `env:"DATABASE_POOLER"`
		LogLevel  slog.Level `env:"LOG_LEVEL"`
		LogFormat string     `env:"LOG_FORMAT"`
	}
	if err := parseEnv(&c, environ); err != nil {
		return ClientConfig{}, err
	}
	var errs []error
	if c.Schema != "" {
		errs = append(errs, migrations.CheckSchema(c.Schema))
	}
	if c.Pooler != "" && c.Pooler != "transaction" {
		errs = append(errs, fmt.Errorf("orchestrator: DATABASE_POOLER=%s: want transaction, or nothing", c.Pooler))
	}
	options := &slog.HandlerOptions{Level: c.LogLevel}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	switch c.LogFormat {
	case "", "text":
	case "json":
		handler = slog.NewJSONHandler(os.Stderr, options)
	default:
		errs = append(errs, fmt.Errorf("orchestrator: LOG_FORMAT=%s: want text or json", c.LogFormat))
	}
	if err := errors.Join(errs...); err != nil {
		return ClientConfig{}, err
	}
	return ClientConfig{Schema: c.Schema, TransactionPooler: c.Pooler != "", Logger: slog.New(handler)}, nil
}

func environment() map[string]string { return env.ToMap(os.Environ()) }

// parseEnv fills the struct at target. The library names the field of a bad
// value; people know the variable.
func parseEnv(target any, environ map[string]string) error {
	set := map[string]string{}
	for name, value := range environ {
		if strings.TrimSpace(value) != "" {
			set[name] = value
		}
	}
	err := env.ParseWithOptions(target, env.Options{
		Environment: set,
		FuncMap:     map[reflect.Type]env.ParserFunc{reflect.TypeFor[time.Duration](): func(s string) (any, error) { return parseDays(s) }},
	})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	errs := make([]error, len(all.Errors))
	for i, one := range all.Errors {
		errs[i] = one
		var bad env.ParseError
		if errors.As(one, &bad) {
			field, _ := reflect.TypeOf(target).Elem().FieldByName(bad.Name)
			name := field.Tag.Get("env")
			errs[i] = fmt.Errorf("orchestrator: %s=%s: want %s", name, set[name], allowed(bad.Type))
		}
	}
	return errors.Join(errs...)
}

// parseDays reads a duration of Go's, before which there may be days: 90d, 1d12h.
func parseDays(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 {
		return 0, errors.Join(errors.New("what follows the days is no duration"), err)
	}
	return d + more, nil
}

func allowed(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms, 10s, 2m or 7d"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	case reflect.TypeFor[bool]():
		return "true or false"
	}
	return "a whole number"
}
