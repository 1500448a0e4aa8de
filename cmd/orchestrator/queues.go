package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) queuesCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "queues",
		Short: "List queues, pause them, or change their concurrency",
		Long: `List queues, pause them, or change their concurrency, on all workers and while
they run. Changes hold until they are taken back, whatever workers come and go.`,
		GroupID: groupLook,
	}, c.queuesListCommand(), c.queuesPauseCommand(), c.queuesResumeCommand(), c.queuesSetCommand(), c.queuesResetCommand())
}

func (c *cli) queuesListCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List queues, their limits, and what is paused or changed",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				queues, err := client.Queues(cmd.Context())
				if err != nil {
					return err
				}
				if c.json {
					return printList(c, queues)
				}
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				if len(queues) == 0 {
					fmt.Fprintln(c.stderr, "none")
					return nil
				}
				rows := newTable(c.stdout, "QUEUE", "STATE", "PER WORKER", "TOTAL", "GRANTED", "WORKERS")
				for _, q := range queues {
					granted := "-"
					if q.Total > 0 {
						granted = strconv.Itoa(q.Granted)
					}
					rows.row(q.Queue, pausedCell(now, q.PausedAt), limitCell(q.PerWorker, q.Declared.PerWorker),
						limitCell(q.Total, q.Declared.Total), granted, strconv.Itoa(q.Workers))
				}
				rows.flush()
				return nil
			})
		},
	})
}

// printList prints a JSON array.
func printList[T any](c *cli, values []T) error {
	list := &jsonList{out: c.stdout}
	for _, v := range values {
		if err := list.add(v); err != nil {
			return err
		}
	}
	return list.end()
}

func pausedCell(now, pausedAt time.Time) string {
	if pausedAt.IsZero() {
		return "working"
	}
	return "paused " + age(now, pausedAt)
}

// limitCell is a limit, and the declared one where that is another.
func limitCell(n, declared int) string {
	text := func(n int) string {
		if n == 0 {
			return "none"
		}
		return strconv.Itoa(n)
	}
	if n == declared {
		return text(n)
	}
	return fmt.Sprintf("%s (declared: %s)", text(n), text(declared))
}

// eachCommand makes a command that does something to each name it is given.
func (c *cli) eachCommand(cmd *cobra.Command, name, done string, do func(ctx context.Context, client *orchestrator.Client, name string) error) *cobra.Command {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("missing " + name)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
			for _, arg := range args {
				if err := do(cmd.Context(), client, arg); err != nil {
					return err
				}
				fmt.Fprintf(c.stdout, "%s: %s\n", done, printable(arg))
			}
			return nil
		})
	}
	return cmd
}

// undeclared adds the flag that lets unknown names be changed.
func undeclared(cmd *cobra.Command, what string) (options func() []orchestrator.SettingOption) {
	var even bool
	cmd.Flags().BoolVar(&even, "undeclared", false, "even if the database has never heard of the "+what)
	return func() []orchestrator.SettingOption {
		if even {
			return []orchestrator.SettingOption{orchestrator.EvenUnknown()}
		}
		return nil
	}
}

func (c *cli) queuesPauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause QUEUE...",
		Short: "Stop all workers from starting tasks of a queue",
		Long: `Stop all workers from starting tasks of a queue. What runs goes on, and tasks can
still be enqueued.`,
	}
	options := undeclared(cmd, "queue")
	return c.eachCommand(cmd, "QUEUE", "paused", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.PauseQueue(ctx, name, options()...)
	})
}

func (c *cli) queuesResumeCommand() *cobra.Command {
	return c.eachCommand(&cobra.Command{
		Use:   "resume QUEUE...",
		Short: "Let workers start tasks of a paused queue again",
	}, "QUEUE", "resumed", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.ResumeQueue(ctx, name)
	})
}

func (c *cli) queuesSetCommand() *cobra.Command {
	var limits orchestrator.QueueConcurrency
	cmd := &cobra.Command{
		Use:   "set QUEUE --per-worker N --total N",
		Short: "Change how many tasks of a queue run at a time",
		Example: `  orchestrator queues set email --per-worker 5
  orchestrator queues set email --total 20`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := arguments("QUEUE")(cmd, args); err != nil {
				return err
			}
			if limits.PerWorker == 0 && limits.Total == 0 {
				return errors.New("set what? Give --per-worker or --total, of 1 or more")
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limits.PerWorker, "per-worker", 0, "tasks at a time on one worker")
	cmd.Flags().IntVar(&limits.Total, "total", 0, "tasks at a time on all workers together")
	options := undeclared(cmd, "queue")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
			if err := client.SetQueueConcurrency(cmd.Context(), args[0], limits, options()...); err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "set: %s\n", printable(args[0]))
			return nil
		})
	}
	return cmd
}

func (c *cli) queuesResetCommand() *cobra.Command {
	return c.eachCommand(&cobra.Command{
		Use:   "reset QUEUE...",
		Short: "Return the concurrency of a queue to what is declared",
	}, "QUEUE", "reset", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.ResetQueueConcurrency(ctx, name)
	})
}
