// Devserver runs a development server as a task: a service that is to stay up,
// in a queue that is made for work that ends.
//
// The handler (handler.go) starts the service, checks its health over HTTP
// (run.go) and starts it anew when it crashes or hangs, a bounded number of
// times in a row, with growing delays; then the attempt fails and the retry
// policy decides. The task has no timeout. Its output goes to the task's logger,
// its state, port and restarts to the task's progress. A cancelled task, and a
// worker that stops, end it with everything it has started. A worker that is
// killed takes it along, since the service notices that its input has ended,
// and another worker starts it again.
//
// Run it from the repository's root, with Node installed. Each line in a
// terminal of its own; all share one database:
//
//	go run ./cmd/orchestrator dev -- go run ./examples/devserver
//	go run ./cmd/orchestrator dev -- go run ./examples/devserver start web 4000
//	go run ./cmd/orchestrator dev -- go run ./cmd/orchestrator tasks show 1
//	go run ./cmd/orchestrator dev -- go run ./cmd/orchestrator tasks cancel 1
//
// The first is the worker, the second prints the task's id, the third prints
// among other things
//
//	progress     100%  healthy, port 4000, restarts 0
//
// and the last ends it.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/examples/devserver/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

//go:generate go run ../../cmd/orchestrator generate

//go:embed server.js
var server []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := program(ctx, os.Getenv("DATABASE_URL"), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func program(ctx context.Context, url string, args []string, stdout io.Writer) (err error) {
	client, err := orchestrator.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	switch {
	case len(args) == 0:
		return work(ctx, client)
	case (len(args) == 2 || len(args) == 3) && args[0] == "start":
		return start(ctx, client, args[1:], stdout)
	}
	return errors.New("usage: devserver [start NAME [PORT]]")
}

func start(ctx context.Context, client *orchestrator.Client, args []string, stdout io.Writer) error {
	payload := tasks.ServiceRunPayload{Name: args[0]}
	if len(args) == 2 {
		port, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("port %q: want a number", args[1])
		}
		payload.Port = &port
	}
	task, err := tasks.EnqueueServiceRun(ctx, client, payload)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, task.ID())
	return err
}

func work(ctx context.Context, client *orchestrator.Client) (err error) {
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return err
	}
	// Waiting would only delay the end: services never end by themselves.
	config.ShutdownTimeout = time.Millisecond
	dir, err := os.MkdirTemp("", "devserver-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "server.js")
	if err := os.WriteFile(file, server, 0o600); err != nil {
		return err
	}
	mux := orchestrator.NewMux()
	tasks.Register(mux, newSupervisor(map[string]service{
		"web": {command: []string{"node", file}, health: "/health"},
	}))
	return orchestrator.NewWorker(client, mux, config).Run(ctx)
}
