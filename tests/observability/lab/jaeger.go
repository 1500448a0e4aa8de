package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

// Jaeger is a running Jaeger that keeps its spans in memory.
type Jaeger struct {
	*process
	OTLP  string // where spans are sent to, for OTEL_EXPORTER_OTLP_ENDPOINT
	Query string // base URL of the query API
}

const jaegerVersion = "v1.62.0"

// ErrNoJaeger says that Jaeger has not been built yet.
var ErrNoJaeger = errors.New("no Jaeger: build it once with `make jaeger`, or let ORCHESTRATOR_JAEGER name its all-in-one binary")

// FindJaeger returns the path of a Jaeger that is there, or ErrNoJaeger.
func FindJaeger(ctx context.Context) (string, error) {
	if path := os.Getenv("ORCHESTRATOR_JAEGER"); path != "" {
		return path, nil
	}
	path, err := jaegerPath(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", ErrNoJaeger
	}
	return path, nil
}

// BuildJaeger returns the path of a Jaeger, which it builds if none is there.
func BuildJaeger(ctx context.Context, log io.Writer) (string, error) {
	path, err := FindJaeger(ctx)
	if !errors.Is(err, ErrNoJaeger) {
		return path, err
	}
	if path, err = jaegerPath(ctx); err != nil {
		return "", err
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(log, "building Jaeger %s into %s, once; this takes some minutes\n", jaegerVersion, filepath.Dir(path))
	// Under another name until it is whole: two builders may meet.
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w",
		"-o", draft, "github.com/jaegertracing/jaeger/cmd/all-in-one")
	build.Dir = filepath.Join(root, "tests", "observability", "jaeger")
	build.Stdout, build.Stderr = log, log
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build Jaeger: %w", err)
	}
	return path, os.Rename(draft, path)
}

// jaegerPath is in the user's cache directory, a place for each pinned state.
func jaegerPath(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	pinned := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, "tests", "observability", "jaeger", name))
		if err != nil {
			return "", err
		}
		pinned.Write(text)
	}
	return filepath.Join(cache, "task-orchestrator", fmt.Sprintf("jaeger-%s-%.8x", jaegerVersion, pinned.Sum(nil)), "all-in-one"), nil
}

// Root is the directory of the repository.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.Dir(string(out)), nil
}

// StartJaeger runs the Jaeger at path, every port of it on loopback.
func StartJaeger(ctx context.Context, path string) (*Jaeger, error) {
	ports := []string{
		"collector.otlp.http.host-port", "query.http-server.host-port", "collector.otlp.grpc.host-port", "query.grpc-server.host-port",
		"admin.http.host-port", "collector.grpc-server.host-port", "collector.http-server.host-port", "http-server.host-port",
		"processor.jaeger-binary.server-host-port", "processor.jaeger-compact.server-host-port", "processor.zipkin-compact.server-host-port",
	}
	addrs, err := freePorts(len(ports))
	if err != nil {
		return nil, err
	}
	args := []string{"--log-level=warn"}
	for i, port := range ports {
		args = append(args, "--"+port+"="+addrs[i])
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=memory")
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	j := &Jaeger{process: p, OTLP: "http://" + addrs[0], Query: "http://" + addrs[1]}
	err = until(ctx, p, "wait for Jaeger", func(ctx context.Context) error {
		_, err := do(ctx, http.MethodGet, j.Query+"/api/services")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, j.Stop())
	}
	return j, nil
}

// Stop ends Jaeger at once: it has nothing to lose, and would wait for its
// clients.
func (j *Jaeger) Stop() error {
	if err := j.cmd.Process.Kill(); err != nil {
		return err
	}
	<-j.ended
	return nil
}

// Search finds traces; query is that of Jaeger's own API: service, operation,
// tags, limit.
func (j *Jaeger) Search(ctx context.Context, query url.Values) ([]Trace, error) {
	return j.traces(ctx, j.Query+"/api/traces", query)
}

// SearchURL is what Search asks.
func (j *Jaeger) SearchURL(query url.Values) string { return j.Query + "/api/traces?" + query.Encode() }

// Trace returns one trace by its id.
func (j *Jaeger) Trace(ctx context.Context, id string) (Trace, error) {
	traces, err := j.traces(ctx, j.Query+"/api/traces/"+id, nil)
	if err != nil || len(traces) != 1 {
		return Trace{}, errors.Join(err, fmt.Errorf("%d traces with id %s", len(traces), id))
	}
	return traces[0], nil
}

func (j *Jaeger) traces(ctx context.Context, address string, query url.Values) ([]Trace, error) {
	var answer struct{ Data []Trace }
	err := getJSON(ctx, address, query, &answer)
	return answer.Data, err
}

// Services lists the names of services that have sent spans.
func (j *Jaeger) Services(ctx context.Context) ([]string, error) {
	var answer struct{ Data []string }
	err := getJSON(ctx, j.Query+"/api/services", nil, &answer)
	return answer.Data, err
}
