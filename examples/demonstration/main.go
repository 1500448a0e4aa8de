// Demonstration shows what a handler can see and do (handlers.go), and what
// becomes of its errors: retries with growing delays, and dead letters.
//
// Run it from the repository's root; --ephemeral would leave nothing to look
// at afterwards:
//
//	go run ./cmd/orchestrator dev -- go run ./examples/demonstration
//
// It prints (the numbers of the tasks grow from run to run):
//
//	demo:show
//	  task 1, demo:show, attempt 1 of 5, queue default, priority 7
//	  payload: title "Hello", times 2, token [redacted] (7 characters)
//	  metadata: requested_by=ada
//	  has some 30s from now
//	  result: [Hello Hello]
//	demo:flaky
//	  attempt 1 of 5: printer_busy: jobs ahead: 2
//	  attempt 2 of 5: printer_busy: jobs ahead: 1
//	  attempt 3 of 5: printed
//	  result: 3 attempts
//	demo:broken
//	  attempt 1 of 3: no paper in tray 1
//	  attempt 2 of 3: no paper in tray 2
//	  attempt 3 of 3: no paper in tray 3
//	  task 3 is dead after 3 attempts: no paper in tray 3
//	demo:broken, without hope
//	  attempt 1 of 3: beyond_repair: the printer is on fire
//	  task 4 is dead after 1 attempts: beyond_repair: the printer is on fire
//
// And then, on the same database (go run ./cmd/orchestrator dev -- ...):
//
//	go run ./cmd/orchestrator tasks show 2     # its two errors, and its result
//	go run ./cmd/orchestrator dead list
//	go run ./cmd/orchestrator dead redrive 3   # three attempts more, at the next run
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/examples/demonstration/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

//go:generate go run ../../cmd/orchestrator generate

func main() {
	if err := run(context.Background(), os.Getenv("DATABASE_URL"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, stdout io.Writer, config ...orchestrator.ClientConfig) (err error) {
	client, err := orchestrator.Open(ctx, url, config...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	mux := orchestrator.NewMux()
	tasks.Register(mux, handlers{stdout})
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx) })
	g.Go(func() error {
		defer stop()
		return demonstrate(ctx, client, stdout)
	})
	return g.Wait()
}

// demonstrate enqueues one task after the other and waits for each.
func demonstrate(ctx context.Context, client *orchestrator.Client, out io.Writer) error {
	fmt.Fprintln(out, "demo:show")
	show, err := tasks.EnqueueDemoShow(ctx, client, tasks.DemoShowPayload{Title: "Hello", Times: 2, Token: orchestrator.NewSensitive("hunter2")},
		orchestrator.WithMetadata(map[string]string{"requested_by": "ada"}))
	if err != nil {
		return err
	}
	shown, err := show.Result(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  result:", shown.Said)

	fmt.Fprintln(out, "demo:flaky")
	flaky, err := tasks.EnqueueDemoFlaky(ctx, client, tasks.DemoFlakyPayload{Failures: 2})
	if err != nil {
		return err
	}
	printed, err := flaky.Result(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  result:", printed.Attempts, "attempts")

	for _, hopeless := range []bool{false, true} {
		fmt.Fprintln(out, "demo:broken"+map[bool]string{true: ", without hope"}[hopeless])
		broken, err := tasks.EnqueueDemoBroken(ctx, client, tasks.DemoBrokenPayload{Hopeless: hopeless})
		if err != nil {
			return err
		}
		_, err = broken.Result(ctx)
		var ended *orchestrator.TaskError
		if !errors.As(err, &ended) { // with its State, Code and Attempt
			return fmt.Errorf("demo:broken should be dead, and ended with %w", err)
		}
		fmt.Fprintln(out, " ", strings.TrimPrefix(err.Error(), "orchestrator: "))
	}
	return nil
}
