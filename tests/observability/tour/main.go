// Tour shows one retried task in a real Jaeger: it signs somebody up whose mail
// server refuses twice, asks Jaeger for the task, and prints what was asked
// and the answer as a tree. `make jaeger` runs it on a private PostgreSQL.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/task-orchestrator/task-orchestrator/tests/observability/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := tour(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tour(ctx context.Context) (err error) {
	path, err := lab.BuildJaeger(ctx, os.Stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "observed")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program, err := lab.BuildShop(ctx, dir)
	if err != nil {
		return err
	}
	jaeger, err := lab.StartJaeger(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jaeger.Stop()) }()
	shop, err := lab.OpenShop(ctx, program, "OTEL_EXPORTER_OTLP_ENDPOINT="+jaeger.OTLP, "OTEL_BSP_SCHEDULE_DELAY=100")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()

	task, trace, err := shop.SignUp(ctx, "fails-2@example.com")
	if err != nil {
		return err
	}
	traces, err := jaeger.AwaitTask(ctx, task, 3)
	if err != nil {
		return err
	}
	fmt.Printf("POST /users enqueued task %s in trace %s.\n", task, trace)
	fmt.Printf("Jaeger, asked for the task:\n\n  %s\n\n", jaeger.SearchURL(lab.OfTask(task)))
	fmt.Print(lab.Tree(traces))
	return nil
}
