// Quickstart is the smallest complete program: it enqueues a task, works it, and
// prints the result. The task is declared in tasks.yaml, from which package tasks
// is generated. To start it on a private PostgreSQL, with the engine's tables
// made and DATABASE_URL set:
//
//	orchestrator dev -- go run .
//
// It prints:
//
//	to ada@example.com: Welcome, Ada!
//	sent as message-1
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/task-orchestrator/task-orchestrator/examples/quickstart/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

//go:generate go run ../../cmd/orchestrator generate

// handlers works the tasks of tasks.yaml: a method each, or it does not compile.
type handlers struct{}

func (handlers) HandleEmailWelcome(_ context.Context, t *tasks.EmailWelcomeTask) (tasks.EmailWelcomeResult, error) {
	fmt.Printf("to %s: Welcome, %s!\n", t.Payload.To, t.Payload.Name)
	return tasks.EmailWelcomeResult{MessageID: "message-" + t.ID.String()}, nil
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	task, err := tasks.EnqueueEmailWelcome(ctx, client, tasks.EmailWelcomePayload{Name: "Ada", To: "ada@example.com"})
	check(err)
	go func() {
		result, err := task.Result(ctx)
		check(err)
		fmt.Println("sent as", result.MessageID)
		stop() // lets the worker finish what it runs, and return
	}()

	mux := orchestrator.NewMux()
	tasks.Register(mux, handlers{})
	check(orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx))
	check(client.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
