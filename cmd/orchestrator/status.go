package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) statusCommand() *cobra.Command {
	var tasks statusTasks
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "Count tasks by queue and state, and list the workers",
		Long: `Count tasks by queue and state, and list the workers.

Counted by queue is what has not finished: ready and running tasks, those
scheduled for later, those waiting for a retry, for their group's turn (blocked)
or for a slot of their concurrency limit (throttled), and dead letters.

Below stands what people have changed at run time: what is paused, changed
limits, overridden policies and when they end.

With --tasks follow the newest tasks, finished ones too, with their states and
retries, and then all tasks by state. Finished tasks are counted as long as they
are kept: one by one, or by a sample when they take more than 40 MB.`,
		GroupID: groupLook,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("limit") && !tasks.shown {
				return errors.New("--limit is for the tasks that --tasks lists: add --tasks")
			}
			return arguments()(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				status, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				if tasks.shown {
					if err := tasks.read(cmd.Context(), client); err != nil {
						return err
					}
				}
				if c.json && tasks.shown {
					return c.printJSON(tasks.document(status))
				}
				if c.json {
					return c.printJSON(status)
				}
				c.printQueues(status)
				c.printChanges(status)
				fmt.Fprintln(c.stdout)
				c.printWorkers(status)
				if tasks.shown {
					fmt.Fprintln(c.stdout)
					c.printStatusTasks(status, &tasks)
				}
				return nil
			})
		},
	})
	cmd.Flags().BoolVar(&tasks.shown, "tasks", false, "list the newest tasks too, and count all by state")
	cmd.Flags().IntVar(&tasks.limit, "limit", 20, "with --tasks: list at most this many; 0 is all")
	return cmd
}

func (c *cli) printQueues(s orchestrator.Status) {
	if len(s.Queues) == 0 {
		fmt.Fprintln(c.stdout, "No tasks are waiting, running or dead.")
		return
	}
	rows := newTable(c.stdout, "QUEUE", "READY", "RUNNING", "SCHEDULED", "RETRYING", "BLOCKED", "THROTTLED", "DEAD", "OLDEST READY", "WORKERS")
	var alone []string
	for _, q := range s.Queues {
		oldest := "-"
		if q.Ready > 0 {
			oldest = span(q.OldestReady)
		}
		rows.row(q.Queue, number(q.Ready), number(q.Running), number(q.Scheduled), number(q.Retrying),
			number(q.Blocked), number(q.Throttled), number(q.Dead), oldest, strconv.Itoa(q.Workers))
		if q.Ready > 0 && q.Workers == 0 {
			alone = append(alone, q.Queue)
		}
	}
	rows.flush()
	if len(alone) > 0 {
		fmt.Fprintf(c.stdout, "\nNo worker works %s: ready tasks wait there.\n", strings.Join(alone, ", "))
	}
}

// printChanges tells what people have changed at run time, which somebody may
// have forgotten.
func (c *cli) printChanges(s orchestrator.Status) {
	if len(s.ChangedQueues)+len(s.ChangedTypes) == 0 {
		return
	}
	fmt.Fprintln(c.stdout, "\nChanged at run time:")
	rows := newTable(c.stdout)
	for _, q := range s.ChangedQueues {
		name := "  queue " + q.Queue
		if !q.PausedAt.IsZero() {
			rows.row(name, pausedCell(s.Now, q.PausedAt))
		}
		if q.Changed {
			rows.row(name, "per worker "+limitCell(q.PerWorker, q.Declared.PerWorker)+", total "+limitCell(q.Total, q.Declared.Total))
		}
	}
	for _, t := range s.ChangedTypes {
		name := "  type " + t.Type
		if !t.PausedAt.IsZero() {
			rows.row(name, pausedCell(s.Now, t.PausedAt))
		}
		if t.Policy != nil {
			rows.row(name, t.Policy.String()+", ends "+age(s.Now, t.PolicyExpiresAt))
		}
	}
	rows.flush()
}

func (c *cli) printWorkers(s orchestrator.Status) {
	if len(s.Workers) == 0 {
		fmt.Fprintln(c.stdout, "No worker is running.")
		return
	}
	rows := newTable(c.stdout, "WORKER", "HOST", "PID", "BUSY", "QUEUES", "UP", "HEARTBEAT", "STATE")
	for _, w := range s.Workers {
		rows.row(strconv.FormatInt(w.ID, 10), oneLine(w.Host, 40), strconv.Itoa(w.PID), fmt.Sprintf("%d of %d", w.Busy, w.Slots),
			strings.Join(w.Queues, ","), span(s.Now.Sub(w.StartedAt)), age(s.Now, w.HeartbeatAt), workerState(w))
	}
	rows.flush()
}

func workerState(w orchestrator.WorkerStatus) string {
	state := "working"
	switch {
	case !w.Alive:
		state = "lost" // its tasks go to others
	case w.Draining:
		state = "draining"
	case w.Idle:
		state = "idle"
	}
	if w.Leader {
		state += ", leader"
	}
	return state
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
