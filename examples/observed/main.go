// Observed is a shop's sign-up in two processes, with traces, metrics and logs
// on: the web server takes a name and enqueues a welcome message, the worker
// sends it.
//
//	orchestrator dev -- sh -c 'go run . web & go run . worker'
//	curl -X POST 'http://127.0.0.1:8080/users?email=fails-2@example.com'
//
// The address decides how the mail server behaves: fails-2@ refuses twice and
// then takes the message, rejected@ is refused for good, slow@ takes a while.
//
// OTEL_EXPORTER_OTLP_ENDPOINT says where traces go (http://127.0.0.1:4318),
// HTTP_ADDR where the worker serves /metrics, APP_ADDR where the web server
// listens (127.0.0.1:8080). See docs/observability.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// part is a process of the shop.
type part struct {
	service string
	run     func(context.Context, *orchestrator.Client, trace.Tracer) error
}

var parts = map[string]part{"web": {"shop-web", serve}, "worker": {"shop-worker", work}}

func run(ctx context.Context, args []string) (err error) {
	if len(args) != 1 || parts[args[0]].run == nil {
		return errors.New("usage: observed web | worker")
	}
	p := parts[args[0]]
	provider, err := newTracerProvider(ctx, p.service)
	if err != nil {
		return err
	}
	// What is still in the exporter's buffer goes out when everything has ended.
	defer func() { err = errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx))) }()

	config, err := orchestrator.ClientConfigFromEnv()
	if err != nil {
		return err
	}
	config.Registerer = prometheus.DefaultRegisterer
	config.TracerProvider = provider
	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"), config)
	if err != nil {
		return err
	}
	defer client.Close()
	return p.run(ctx, client, provider.Tracer("shop"))
}
