package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// database returns $DATABASE_URL. Without one it starts a private PostgreSQL
// that lives as long as the run, which is all that this example's data are worth;
// `orchestrator dev` starts one that keeps them.
func database(ctx context.Context, stderr io.Writer) (url string, stop func(), err error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, func() {}, nil
	}
	server, err := devpg.Start(ctx, devpg.Config{Log: stderr})
	if err != nil {
		return "", nil, err
	}
	fmt.Fprintf(stderr, "DATABASE_URL is not set: using a private PostgreSQL %s, without fsync, that is removed at the end\n", server.Binaries().Version)
	return server.URL(), func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(stderr, "stdlib-index:", err)
		}
	}, nil
}

// open connects to the database and brings the engine's tables up to date.
func open(ctx context.Context, url string, stderr io.Writer) (*orchestrator.Client, error) {
	config, err := orchestrator.ClientConfigFromEnv()
	if err != nil {
		return nil, err
	}
	if !verbose() {
		config.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	client, err := orchestrator.Open(ctx, url, config)
	if err != nil {
		return nil, err
	}
	if _, err := client.Migrator().Up(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// verbose tells whether the log is asked for. The worker writes a line for every
// dead letter, which the report shows more briefly.
func verbose() bool { return os.Getenv("LOG_LEVEL") != "" }
