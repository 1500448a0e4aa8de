package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/cmd/orchestrator/measure"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) benchCommand() *cobra.Command {
	config := measure.Config{Progress: func(step string) { fmt.Fprintf(c.stderr, "  %s\n", step) }}
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "bench",
		Short: "Measure what your database gives, in about a minute",
		Long: `Measure what your database gives, in about a minute: how long a commit takes,
how many tasks can be enqueued one by one and in batches, how fast one worker
drains tasks that do nothing, and how soon a task starts. Below the figures
stands what they mean.

It works in a schema of its own, orchestrator_bench_ and random digits, and
drops it at the end, also after Ctrl-C. Your tables are not touched, but the
server is kept busy meanwhile, and writes some hundred megabytes of WAL: think
before you point it at a server that others are waiting for. The role needs
CREATE on the database.`,
		Example: `  orchestrator bench
  orchestrator dev --ephemeral -- orchestrator bench --duration 20s`,
		GroupID: groupRun,
		Args: func(cmd *cobra.Command, args []string) error {
			return errors.Join(arguments()(cmd, args), config.Check())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.bench(cmd, config) },
	})
	cmd.Flags().DurationVar(&config.Duration, "duration", time.Minute, "about how long to measure in all")
	cmd.Flags().IntVar(&config.Tasks, "tasks", 100_000, "enqueue in batches and drain at most so many tasks")
	cmd.Flags().IntVar(&config.Slots, "slots", 100, "how many tasks the worker runs at a time")
	return cmd
}

func (c *cli) bench(cmd *cobra.Command, config measure.Config) (err error) {
	config.URL = c.env("DATABASE_URL")
	// The configured schema is somebody's: nothing is looked for there.
	err = c.withDatabase(cmd.Context(), config.URL, func(client *orchestrator.Client) error {
		left, err := measure.LeftBehind(cmd.Context(), client)
		for _, schema := range left {
			fmt.Fprintf(c.stderr, "There is a schema %s, of a run that goes on or was killed: DROP SCHEMA %s CASCADE removes it.\n", schema, schema)
		}
		return err
	})
	if err != nil {
		return err
	}
	if config.Client, err = c.clientConfig(); err != nil {
		return err
	}
	fmt.Fprintln(c.stderr, "Measuring, in a schema of its own that is dropped at the end:")
	report, err := measure.Run(cmd.Context(), config)
	if cmd.Context().Err() != nil && !errors.Is(err, measure.ErrLeftBehind) {
		fmt.Fprintln(c.stderr, "interrupted; the schema is dropped")
		return context.Canceled
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(report)
	}
	c.printBench(report)
	return nil
}

func (c *cli) printBench(r *measure.Report) {
	set := make([]string, 0, len(measure.Settings))
	for _, name := range measure.Settings {
		if value := r.Server.Settings[name]; value != "" {
			set = append(set, name+" "+value)
		}
	}
	fmt.Fprintf(c.stdout, "PostgreSQL %s, round trip %s\n%s\n\n", r.Server.Version, measure.Millis(r.Server.RoundTrip.P50), wrapped(strings.Join(set, ", ")))

	rows := newTable(c.stdout, "MEASURED", "PER SECOND", "P50", "P99")
	row := func(what string, rate float64, took measure.Latency) {
		rows.row(what, measure.Count(rate), measure.Millis(took.P50), measure.Millis(took.P99))
	}
	row("commit of one row", r.Commit.Rate, r.Commit.Latency)
	for _, one := range r.Enqueue {
		row("enqueue one by one, "+plural(one.Goroutines, "goroutine"), one.Rate, one.Latency)
	}
	row("enqueue in batches of "+measure.Count(float64(r.Bulk.Batch)), r.Bulk.Rate, r.Bulk.Latency)
	rows.row("drain, "+plural(r.Drain.Slots, "slot"), measure.Count(r.Drain.Rate), "-", "-")
	row("enqueue until the handler starts", r.Pickup.Rate, r.Pickup.Latency)
	rows.flush()
	for _, paragraph := range r.Reading {
		fmt.Fprintf(c.stdout, "\n%s\n", wrapped(paragraph))
	}
}

// lineWidth is how long a line of running text may be.
const lineWidth = 80

// wrapped breaks text into lines at its blanks.
func wrapped(text string) string {
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case width == 0:
		case width+1+len(word) > lineWidth:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}
