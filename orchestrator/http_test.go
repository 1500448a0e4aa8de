package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// status is the body of /health and /ready.
type status struct {
	Status, Version, Error string
	Checks                 []struct{ Name, Status, Worker, Error string }
}

func (s status) named(name string) (status, message string) {
	for _, c := range s.Checks {
		if c.Name == name {
			return c.Status, c.Error
		}
	}
	return "", ""
}

func ask(t *testing.T, h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func askStatus(t *testing.T, h http.Handler, path string) (code int, body status) {
	t.Helper()
	w := ask(t, h, path)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), "%s", w.Body)
	return w.Code, body
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	h := orchestratortest.Client(t).HTTPHandler()
	code, body := askStatus(t, h, "/health")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok", body.Status)
	require.NotEmpty(t, body.Version)

	code, body = askStatus(t, h, "/ready")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok", body.Status)
	require.Len(t, body.Checks, 2, "no worker runs")
}

func TestNotReadyWithoutMigrations(t *testing.T) {
	t.Parallel()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	template, err := server.Template(t.Context(), "empty", func(context.Context, string) error { return nil })
	require.NoError(t, err)
	url, drop, err := template.Clone(t.Context())
	require.NoError(t, err)
	t.Cleanup(drop)
	client, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })

	code, body := askStatus(t, client.HTTPHandler(), "/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	state, message := body.named("migrations")
	require.Equal(t, "failed", state)
	require.Contains(t, message, "orchestrator migrate up")
}

func TestNotReadyWithoutDatabase(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	config, err := pgxpool.ParseConfig("postgres://user:secret@" + closed.Addr().String() + "/app")
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	client, err := orchestrator.NewClient(pool)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })

	code, body := askStatus(t, client.HTTPHandler(), "/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	state, message := body.named("database")
	require.Equal(t, "failed", state)
	require.Contains(t, message, "refused")
	require.NotContains(t, message, "secret")

	code, _ = askStatus(t, client.HTTPHandler(), "/health")
	require.Equal(t, http.StatusOK, code, "alive all the same")
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: registry}).HTTPHandler()
	w := ask(t, h, "/metrics")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "orchestrator_worker_slots 0")
	w = ask(t, h, "/metrics", "Accept", "application/openmetrics-text;version=1.0.0")
	require.Contains(t, w.Header().Get("Content-Type"), "application/openmetrics-text")
	require.Contains(t, w.Body.String(), "# EOF")

	// A registerer that labels does not gather; the registry behind it does.
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"app": "shop"}, prometheus.NewRegistry())
	w = ask(t, orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: labelled}).HTTPHandler(), "/metrics")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "ClientConfig")
	other := prometheus.NewRegistry()
	labelled = prometheus.WrapRegistererWith(prometheus.Labels{"app": "shop"}, other)
	w = ask(t, orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: labelled, Gatherer: other}).HTTPHandler(), "/metrics")
	require.Contains(t, w.Body.String(), `orchestrator_worker_slots{app="shop"} 0`)
}

func TestPprofIsOptIn(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	require.Equal(t, http.StatusNotFound, ask(t, client.HTTPHandler(), "/debug/pprof/").Code)
	require.Equal(t, http.StatusOK, ask(t, client.HTTPHandler(orchestrator.HTTPConfig{Pprof: true}), "/debug/pprof/").Code)
}

// logLines collects a JSON log, a map a line.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: level}))
}

// said returns the lines whose message is msg.
func (l *logLines) said(t *testing.T, msg string) (found []map[string]any) {
	t.Helper()
	for _, line := range l.all(t) {
		if line["msg"] == msg {
			found = append(found, line)
		}
	}
	return found
}

func (l *logLines) all(t *testing.T) (lines []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

// get returns status and body of a page of the worker's own server.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

// A worker serves from its start to its very end, and says in between that it
// is stopping.
func TestWorkerServesHTTP(t *testing.T) {
	t.Parallel()
	var logs logLines
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Registerer: prometheus.NewRegistry()})
	started, release := make(chan struct{}), make(chan struct{})
	stop := startWorker(t, client, handle(echo, func(context.Context, *orchestrator.Raw) ([]byte, error) {
		close(started)
		<-release
		return nil, nil
	}), orchestrator.WorkerConfig{HTTPAddr: "0", Logger: logs.logger(slog.LevelInfo)})
	enqueue(t, client, echo, `{}`)
	<-started
	addr, _ := logs.said(t, "serving HTTP")[0]["addr"].(string)
	host, _, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", host, "a port alone is loopback's")

	code, text := get(t, "http://"+addr+"/ready")
	require.Equal(t, http.StatusOK, code, text)
	require.Contains(t, text, `"worker"`)
	_, text = get(t, "http://"+addr+"/metrics")
	require.Contains(t, text, "orchestrator_worker_busy_slots 1")

	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	require.Eventually(t, func() bool {
		code, text = get(t, "http://"+addr+"/ready")
		return code == http.StatusServiceUnavailable
	}, 30*time.Second, 5*time.Millisecond, "not ready while it drains")
	require.Contains(t, text, "the worker is stopping")
	code, _ = get(t, "http://"+addr+"/health")
	require.Equal(t, http.StatusOK, code)
	close(release)
	<-stopped
	_, err = net.Dial("tcp", addr)
	require.Error(t, err)
}

func TestTakenAddressStopsTheWorker(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	client := orchestratortest.Client(t)
	worker := orchestrator.NewWorker(client, handle(echo, panickingHandler), orchestrator.WorkerConfig{HTTPAddr: taken.Addr().String()})
	err = worker.Run(t.Context())
	require.ErrorContains(t, err, "HTTP_ADDR="+taken.Addr().String())
}

func TestHTTPAddr(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"9464": "127.0.0.1:9464", ":9464": "127.0.0.1:9464", "0.0.0.0:9464": "0.0.0.0:9464",
		"[::1]:9464": "[::1]:9464", "localhost:0": "localhost:0", "metrics.internal:80": "metrics.internal:80",
	} {
		got, err := orchestrator.ListenAddr(addr)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, addr := range []string{"localhost", "0.0.0.0", "99999", "-1", "01", "http://127.0.0.1:9464", "a:b:c", ":"} {
		_, err := orchestrator.ListenAddr(addr)
		require.ErrorContains(t, err, "HTTP_ADDR="+addr+": want a port")
		_, err = orchestrator.WorkerConfig{HTTPAddr: addr}.Checked()
		require.Error(t, err)
	}
}
