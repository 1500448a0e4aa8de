// Flow runs ten tasks on three workers. Six of them are postings to two
// accounts: those of one account run one after the other, in the order in which
// they were enqueued, whichever worker has them. Four are notices, which run
// beside everything. One posting fails at first and holds its account up until
// it is retried; one notice fails for good.
//
// Run it from the repository's root, and look at what it has left:
//
//	go run ./cmd/orchestrator dev --ephemeral -- sh -c 'go run ./examples/flow && go run ./cmd/orchestrator status --tasks'
//
// It prints each attempt's begin and end, and at last
//
//	ada: 1 2 (failed) 2 3
//	grace: 1 2 3
//	at most 6 attempts ran at a time
//
// To look while it runs, let attempts take longer and use a second terminal:
//
//	go run ./cmd/orchestrator dev -- go run ./examples/flow -pace 10s
//	go run ./cmd/orchestrator dev -- go run ./cmd/orchestrator status --tasks
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/examples/flow/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

//go:generate go run ../../cmd/orchestrator generate

func main() {
	pace := flag.Duration("pace", 200*time.Millisecond, "how long an attempt takes")
	flag.Parse()
	spend := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(*pace):
			return nil
		}
	}
	if _, err := run(context.Background(), os.Getenv("DATABASE_URL"), spend, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

const workers = 3

func run(ctx context.Context, url string, spend func(context.Context) error, stdout io.Writer, config ...orchestrator.ClientConfig) (_ *journal, err error) {
	client, err := orchestrator.Open(ctx, url, config...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	handles, err := enqueue(ctx, client)
	if err != nil {
		return nil, err
	}

	j := &journal{out: stdout}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	for i := range workers {
		// Mostly each is a process of its own; it makes no difference.
		mux := orchestrator.NewMux()
		tasks.Register(mux, worker{fmt.Sprintf("worker %d", i+1), j, spend})
		g.Go(func() error { return orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{}).Run(ctx) })
	}
	g.Go(func() error {
		defer stop()
		for _, err := range orchestrator.Results(ctx, handles) {
			var ended *orchestrator.TaskError
			if err != nil && !errors.As(err, &ended) { // one task is to die
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	j.summary()
	return j, nil
}

// enqueue enqueues ten tasks, in turn of both kinds.
func enqueue(ctx context.Context, client *orchestrator.Client) (handles []orchestrator.Handle[orchestrator.None], err error) {
	post := func(account string, entry, failures int) {
		if err == nil {
			var h orchestrator.Handle[orchestrator.None]
			h, err = tasks.EnqueueLedgerPost(ctx, client, tasks.LedgerPostPayload{Account: account, Entry: entry, Failures: failures})
			handles = append(handles, h)
		}
	}
	send := func(to string, bounces bool) {
		if err == nil {
			var h orchestrator.Handle[orchestrator.None]
			h, err = tasks.EnqueueNoticeSend(ctx, client, tasks.NoticeSendPayload{To: to, Bounces: bounces})
			handles = append(handles, h)
		}
	}
	post("ada", 1, 0)
	post("grace", 1, 0)
	send("alan", false)
	post("ada", 2, 1)
	post("grace", 2, 0)
	send("nobody", true)
	post("ada", 3, 0)
	send("barbara", false)
	post("grace", 3, 0)
	send("edsger", false)
	return handles, err
}
