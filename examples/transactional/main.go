// Transactional is a shop whose orders and tasks are in one PostgreSQL, so that
// one transaction can hold both.
//
//   - Placing an order (shop.go) stores its row and enqueues order:confirm in one
//     transaction of bun: committed both are there, rolled back neither is. No
//     order waits for ever for a task that got lost in between, and no task looks
//     for an order that never was.
//   - The handler (handler.go) marks the order confirmed and completes its task
//     in one transaction, too: however often it is attempted, the order is
//     confirmed exactly when the task has succeeded.
//
// Run it from the repository's root:
//
//	go run ./cmd/orchestrator dev --ephemeral -- go run ./examples/transactional
//
// Ada buys the last lamp. For Grace there is none left, which shows only after
// her order is stored and its task enqueued, so both are rolled back. It prints:
//
//	ada@example.com    placed         orders: 1, tasks: 1, confirmed: false
//	grace@example.com  out of stock   orders: 0, tasks: 0, confirmed: false
//	ada@example.com    task succeeded orders: 1, tasks: 1, confirmed: true
//
// Its tables are in a schema of their own, "shop".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func main() {
	if err := run(context.Background(), os.Getenv("DATABASE_URL"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, stdout io.Writer) (err error) {
	client, err := orchestrator.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	s := &shop{client: client}
	if err := s.open(ctx, 1); err != nil {
		return err
	}

	ada := newOrder("ada@example.com", 49_00, generated.MoneyCurrencyEUR)
	task, err := s.place(ctx, ada)
	if err != nil {
		return err
	}
	if err := s.show(ctx, stdout, ada, "placed"); err != nil {
		return err
	}

	grace := newOrder("grace@example.com", 49_00, generated.MoneyCurrencyEUR)
	if _, err := s.place(ctx, grace); !errors.Is(err, errOutOfStock) {
		return fmt.Errorf("there was one lamp only; want %w, got %w", errOutOfStock, err)
	}
	if err := s.show(ctx, stdout, grace, errOutOfStock.Error()); err != nil {
		return err
	}

	err = work(ctx, client, s, func(ctx context.Context) error {
		_, err := task.Result(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return s.show(ctx, stdout, ada, "task succeeded")
}

// work runs a worker until wait returns.
func work(ctx context.Context, client *orchestrator.Client, h generated.OrderHandlers, wait func(context.Context) error) error {
	mux := orchestrator.NewMux()
	generated.RegisterOrder(mux, h)
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx) })
	g.Go(func() error {
		defer stop()
		return wait(ctx)
	})
	return g.Wait()
}

// show prints what the database has of an order: its row and its tasks.
func (s *shop) show(ctx context.Context, w io.Writer, o *Order, what string) error {
	found, err := s.find(ctx, o.ID)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%-18s %-14s orders: %d, tasks: %d, confirmed: %t\n",
		o.Customer, what, found.Orders, found.Tasks, found.Confirmed)
	return err
}
