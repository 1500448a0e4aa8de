package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// listFlags are the flags of commands that list tasks.
type listFlags struct {
	limit  int
	reveal bool
}

func (f *listFlags) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.limit, "limit", 50, "at most this many; 0 is all")
	cmd.Flags().BoolVar(&f.reveal, "reveal", false, "with --json: print sensitive fields too")
}

// listTasks prints tasks as JSON or as a table with a row a task.
func (c *cli) listTasks(ctx context.Context, client *orchestrator.Client, tasks iter.Seq2[orchestrator.TaskInfo, error], flags listFlags,
	header []string, row func(*orchestrator.TaskInfo) []string,
) error {
	list, rows := &jsonList{out: c.stdout}, newTable(c.stdout)
	n, more := 0, false
	for task, err := range tasks {
		if err != nil {
			return err
		}
		if n++; flags.limit > 0 && n > flags.limit {
			more = true
			break
		}
		if c.json {
			if err := c.addTask(ctx, client, list, task, flags.reveal); err != nil {
				return err
			}
			continue
		}
		if n == 1 {
			rows.row(header...)
		}
		rows.row(row(&task)...)
	}
	if more {
		fmt.Fprintf(c.stderr, "There are more than these %d: --limit 0 lists all.\n", flags.limit)
	}
	if c.json {
		return list.end()
	}
	rows.flush()
	if n == 0 {
		fmt.Fprintln(c.stderr, "none")
	}
	return nil
}

func (c *cli) addTask(ctx context.Context, client *orchestrator.Client, list *jsonList, task orchestrator.TaskInfo, reveal bool) error {
	if !reveal {
		var err error
		if task, err = client.Redacted(ctx, task); err != nil {
			return err
		}
	}
	return list.add(task)
}
