package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) tasksCancelCommand() *cobra.Command {
	var choose chooseLive
	var reason string
	var yes bool
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "cancel [ID...]",
		Short: "Cancel tasks that wait or run",
		Long: `Cancel tasks that wait or run. Those that wait have ended at once. Those that run
are asked: their handlers' contexts end within a second, and when they return
with an error the tasks are cancelled.

Ids are cancelled without asking; tasks chosen by what they are, after asking.`,
		Example: `  orchestrator tasks cancel 1204 1207 --reason "wrong template"
  orchestrator tasks cancel --type report:digest --state scheduled,retrying`,
		Args: choose.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				if len(choose.ids) > 0 {
					return c.cancelEach(cmd.Context(), client, choose.ids, reason)
				}
				return c.cancelChosen(cmd.Context(), client, &choose, reason, yes)
			})
		},
	})
	choose.register(cmd, "only those enqueued in the last 90s, 2h, 7d, ...")
	cmd.Flags().Var(&choose.states, "state", "only in these states: "+joined(liveStates))
	cmd.Flags().BoolVar(&choose.all, "all", false, "all tasks that wait or run")
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept as the task's last error")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// cancelEach cancels tasks by id and fails when one had ended.
func (c *cli) cancelEach(ctx context.Context, client *orchestrator.Client, ids []orchestrator.TaskID, reason string) error {
	var errs []error
	var done orchestrator.CancelCount
	for _, id := range ids {
		state, err := client.Cancel(ctx, id, reason)
		switch {
		case err != nil:
			errs = append(errs, err)
		case state == orchestrator.Cancelled:
			done.Cancelled++
		case state == orchestrator.Running:
			done.Requested++
		default:
			errs = append(errs, fmt.Errorf("task %s: too late, it is %s", id, state))
		}
	}
	return errors.Join(append(errs, c.printCancelled(done))...)
}

func (c *cli) cancelChosen(ctx context.Context, client *orchestrator.Client, choose *chooseLive, reason string, yes bool) error {
	filter, err := choose.filter(ctx, client)
	if err != nil {
		return err
	}
	if !yes {
		n, err := client.CountLive(ctx, filter)
		if err != nil {
			return err
		}
		if err := c.confirm(false, fmt.Sprintf("This cancels %s", plural(n, "task"))); err != nil {
			return err
		}
	}
	done, err := client.CancelTasks(ctx, filter, reason)
	return errors.Join(err, c.printCancelled(done))
}

func (c *cli) printCancelled(done orchestrator.CancelCount) error {
	if c.json {
		return c.printJSON(done)
	}
	fmt.Fprintf(c.stdout, "cancelled: %s\n", plural(done.Cancelled, "task"))
	if done.Requested > 0 {
		fmt.Fprintf(c.stdout, "asked to stop: %s\n", plural(done.Requested, "running task"))
	}
	return nil
}

// liveStates are those in which a task can be cancelled.
var liveStates = []orchestrator.State{
	orchestrator.Ready, orchestrator.Scheduled, orchestrator.Retrying, orchestrator.Blocked, orchestrator.Throttled, orchestrator.Running,
}

// chooseLive are the arguments that choose tasks to cancel.
type chooseLive struct {
	chooseFlags
	states stateList
	all    bool
	ids    []orchestrator.TaskID
}

// args reads the ids. Nothing chosen must not mean everything.
func (f *chooseLive) args(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		id, err := taskID(arg)
		if err != nil {
			return err
		}
		if !slices.Contains(f.ids, id) {
			f.ids = append(f.ids, id)
		}
	}
	for _, state := range f.states {
		if !slices.Contains(liveStates, state) {
			return fmt.Errorf("tasks that are %s cannot be cancelled: want %s", state, joined(liveStates))
		}
	}
	narrowed := f.types != nil || f.queues != nil || f.codes != nil || f.since > 0 || f.states != nil
	switch {
	case f.ids == nil && !narrowed && !f.all:
		return errors.New("which tasks? Give ids, or --type, --queue, --code, --state or --since, or --all")
	case f.ids != nil && (narrowed || f.all):
		return errors.New("give ids, or choose tasks by flags, not both")
	case narrowed && f.all:
		return errors.New("--all goes with no other choice")
	}
	return nil
}

func (f *chooseLive) filter(ctx context.Context, client *orchestrator.Client) (orchestrator.TaskFilter, error) {
	now, err := now(ctx, client)
	return orchestrator.TaskFilter{
		States: f.states, Types: f.types, Queues: f.queues, Codes: f.errorCodes(), EnqueuedSince: f.sinceTime(now),
	}, err
}
