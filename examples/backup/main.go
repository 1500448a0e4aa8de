// Backup dumps a PostgreSQL database with pg_dump, every night, as a task: whole files only
// (handler.go), the newest few of them kept (files.go), the password out of
// sight (pgdump.go), what is wrong with pg_dump said by a code, and pg_dump
// ended with everything it started when the task is cancelled or the worker
// stops.
//
// Run it from the repository's root: once, at once; and as a worker, which dumps
// when the schedule of tasks.yaml says so, or somebody else does meanwhile.
//
//	go run ./cmd/orchestrator dev -- go run ./examples/backup now
//	go run ./cmd/orchestrator dev -- go run ./examples/backup
//	go run ./cmd/orchestrator dev -- go run ./cmd/orchestrator schedules show nightly_backup
//	go run ./cmd/orchestrator dev -- go run ./cmd/orchestrator schedules trigger nightly_backup
//
// The first prints:
//
//	backups/app-20261121T023000.125Z-1.dump: 37120 bytes, sha256 5f0c..., took 212ms
//
// What it dumps is the database of BACKUP_URL, or else of DATABASE_URL; into
// BACKUP_DIR, which is "backups"; with the program PG_DUMP, which is pg_dump.
// A dump goes back into an empty database with
//
//	pg_restore --exit-on-error --dbname=DATABASE FILE
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/examples/backup/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

//go:generate go run ../../cmd/orchestrator generate

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	url := os.Getenv("DATABASE_URL")
	b := &backups{
		url:    cmp.Or(os.Getenv("BACKUP_URL"), url),
		dir:    cmp.Or(os.Getenv("BACKUP_DIR"), "backups"),
		pgDump: cmp.Or(os.Getenv("PG_DUMP"), "pg_dump"),
	}
	if err := run(ctx, url, b, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, b *backups, args []string, stdout io.Writer) (err error) {
	now := len(args) == 1 && args[0] == "now"
	if len(args) > 0 && !now {
		return errors.New("usage: backup [now]")
	}
	client, err := orchestrator.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return err
	}
	mux := orchestrator.NewMux()
	tasks.Register(mux, b)
	worker := orchestrator.NewWorker(client, mux, config)
	if !now {
		return worker.Run(ctx)
	}

	task, err := tasks.EnqueueBackupDatabase(ctx, client, tasks.BackupDatabasePayload{})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	g.Go(func() error {
		defer stop()
		r, err := task.Result(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "%s: %d bytes, sha256 %s, took %s\n", r.File, r.Bytes, r.Sha256, r.Took.Std())
		return err
	})
	return g.Wait()
}
