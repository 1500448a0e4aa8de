package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HTTPConfig is what [Client.HTTPHandler] may be told; the zero value is
// usable.
type HTTPConfig struct {
	// Pprof adds net/http/pprof under /debug/pprof/. Whoever reaches it can
	// read what is in memory and slow the process down: keep it on loopback.
	Pprof bool
}

// HTTPHandler serves what watches over the process:
//
//	/metrics       the metrics, in OpenMetrics with exemplars for who accepts it
//	/health        200 while the process serves at all
//	/ready         200 while the database answers, all migrations have run, and
//	               each worker of this client holds its lease and is not
//	               stopping; 503 otherwise
//	/debug/pprof/  only with config.Pprof
//
// /health and /ready answer in JSON that says what is wrong; the text of a
// database error may name its host. The handler can be mounted in a server of
// the caller's; a worker serves it by itself when WorkerConfig.HTTPAddr is set.
func (c *Client) HTTPHandler(config ...HTTPConfig) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", c.metricsHandler())
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, health{Status: statusOK, Version: Version()})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		writeStatus(w, c.readiness(r.Context()))
	})
	if len(config) > 0 && config[0].Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (c *Client) metricsHandler() http.Handler {
	if c.gatherer == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeStatus(w, health{Status: statusFailed, Error: "no metrics: give ClientConfig.Registerer a *prometheus.Registry, or prometheus.DefaultRegisterer"})
		})
	}
	return promhttp.HandlerFor(c.gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// gathererOf finds what serves the metrics that were registered with r.
func gathererOf(g prometheus.Gatherer, r prometheus.Registerer) prometheus.Gatherer {
	if g != nil {
		return g
	}
	if both, ok := r.(prometheus.Gatherer); ok {
		return both
	}
	return nil
}

// The values of status.
const (
	statusOK     = "ok"
	statusFailed = "failed"
)

// health is the body of /health and /ready.
type health struct {
	Status  string  `json:"status"`
	Version string  `json:"version,omitempty"`
	Error   string  `json:"error,omitempty"`
	Checks  []check `json:"checks,omitempty"`
}

// check is one part of the readiness.
type check struct {
	Name   string `json:"name"` // database, migrations or worker
	Status string `json:"status"`
	Worker string `json:"worker,omitempty"` // its id
	Error  string `json:"error,omitempty"`
}

func newCheck(name string, err error) check {
	if err != nil {
		return check{Name: name, Status: statusFailed, Error: err.Error()}
	}
	return check{Name: name, Status: statusOK}
}

func writeStatus(w http.ResponseWriter, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if h.Status != statusOK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(h) // whoever asked has gone
}

// readyTimeout is shorter than what probes wait for by default.
const readyTimeout = 900 * time.Millisecond

func (c *Client) readiness(ctx context.Context) health {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	checks := []check{newCheck("database", c.pool.Ping(ctx))}
	if checks[0].Status == statusOK {
		checks = append(checks, newCheck("migrations", c.migrated(ctx)))
	}
	checks = append(checks, c.running.checks()...)
	h := health{Status: statusOK, Version: Version(), Checks: checks}
	if slices.ContainsFunc(checks, func(c check) bool { return c.Status != statusOK }) {
		h.Status = statusFailed
	}
	return h
}

// migrated returns nil when no migration is missing.
func (c *Client) migrated(ctx context.Context) error {
	pending, err := c.Migrator().Pending(ctx)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("orchestrator: the database lacks %d migrations (%s): run `orchestrator migrate up`, or client.Migrator().Up", len(pending), strings.Join(pending, ", "))
	}
	return nil
}

// runningWorkers are the workers of a client between the start and the end of
// their Run.
type runningWorkers struct {
	mu      sync.Mutex
	workers []runningWorker
}

type runningWorker struct {
	*Worker
	ctx context.Context // of Run
}

func (r *runningWorkers) add(ctx context.Context, w *Worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers = append(r.workers, runningWorker{w, ctx})
}

func (r *runningWorkers) remove(w *Worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers = slices.DeleteFunc(r.workers, func(one runningWorker) bool { return one.Worker == w })
}

func (r *runningWorkers) checks() []check {
	r.mu.Lock()
	defer r.mu.Unlock()
	checks := make([]check, len(r.workers))
	for i, w := range r.workers {
		checks[i] = newCheck("worker", w.check())
		checks[i].Worker = strconv.FormatInt(w.lease.current.Load().id, 10)
	}
	return checks
}

// check tells why a worker should not be counted on, nil when it should.
func (w runningWorker) check() error {
	s := w.lease.current.Load()
	switch {
	case w.ctx.Err() != nil:
		return errors.New("the worker is stopping: it finishes what it runs and claims nothing more")
	case s.lost():
		return errors.New("the worker has lost its lease and is registering anew")
	case !w.lease.holds(s):
		return fmt.Errorf("no heartbeat was answered for %s", w.lease.safe())
	}
	return nil
}

// httpServer serves the handler beside a worker.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	ended    chan struct{} // nil: not started
}

// listenHTTP opens the address of the config, nil for none. Serving begins
// with [httpServer.start].
func (w *Worker) listenHTTP(ctx context.Context) (*httpServer, error) {
	if w.config.HTTPAddr == "" {
		return nil, nil
	}
	addr, err := listenAddr(w.config.HTTPAddr)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: HTTP_ADDR=%s: %w", w.config.HTTPAddr, err)
	}
	return &httpServer{listener: listener, server: &http.Server{
		Handler:           w.client.HTTPHandler(HTTPConfig{Pprof: w.config.HTTPPprof}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}}, nil
}

func (s *httpServer) start(w *Worker) {
	if s == nil {
		return
	}
	w.logger.Info("serving HTTP", "addr", s.listener.Addr().String(), "pprof", w.config.HTTPPprof)
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			w.logger.Error("HTTP is served no more", "error", err)
		}
	}()
}

// httpCloseTimeout lets a last scrape end; a profile that takes longer is cut.
const httpCloseTimeout = time.Second

// close ends the server and what it serves.
func (s *httpServer) close() {
	if s == nil {
		return
	}
	if s.ended == nil {
		_ = s.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpCloseTimeout)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	<-s.ended
}

// listenAddr turns HTTP_ADDR into an address to listen on: a port alone is one
// of loopback, and every other interface has to be asked for.
func listenAddr(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = "", addr
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", fmt.Errorf("orchestrator: HTTP_ADDR=%s: want a port, which listens on 127.0.0.1, or host:port (0.0.0.0:9464 is every interface)", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
