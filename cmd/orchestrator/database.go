package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// withClient opens the database of the environment, makes sure that it has
// the engine's tables, and runs do.
func (c *cli) withClient(ctx context.Context, do func(client *orchestrator.Client) error) error {
	return c.withDatabase(ctx, c.env("DATABASE_URL"), func(client *orchestrator.Client) error {
		pending, err := client.Migrator().Pending(ctx)
		if err != nil {
			return err
		}
		if len(pending) > 0 {
			return fmt.Errorf("the database lacks %s: run `orchestrator migrate up`", plural(len(pending), "migration"))
		}
		return do(client)
	})
}

// withDatabase runs do on the database at url, migrated or not.
func (c *cli) withDatabase(ctx context.Context, url string, do func(client *orchestrator.Client) error) (err error) {
	if url == "" {
		return errors.New("no database: set DATABASE_URL, or put `orchestrator dev --` before the command to use this project's private PostgreSQL")
	}
	config, err := c.clientConfig()
	if err != nil {
		return err
	}
	client, err := orchestrator.Open(ctx, url, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return do(client)
}

// clientConfig reads the variables that [orchestrator.ClientConfigFromEnv]
// reads, but for the log's: a command's output is its log.
func (c *cli) clientConfig() (orchestrator.ClientConfig, error) {
	config := orchestrator.ClientConfig{
		Schema: c.env("ORCHESTRATOR_SCHEMA"),
		Logger: slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if config.Schema != "" {
		if err := migrations.CheckSchema(config.Schema); err != nil {
			return config, err
		}
	}
	switch pooler := c.env("DATABASE_POOLER"); pooler {
	case "":
	case "transaction":
		config.TransactionPooler = true
	default:
		return config, fmt.Errorf("DATABASE_POOLER=%s: want transaction, or nothing", pooler)
	}
	return config, nil
}

// now is the database's time, from which ages are counted.
func now(ctx context.Context, client *orchestrator.Client) (t time.Time, err error) {
	err = client.DB().NewRaw("SELECT now()").Scan(ctx, &t)
	return t, err
}

// confirm asks before data are deleted, unless yes says so already.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !c.interactive {
		return fmt.Errorf("%s: pass --yes to do it without being asked", question)
	}
	fmt.Fprintf(c.stderr, "%s. Go on? [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(c.stdin, &answer) // an empty answer is no
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
