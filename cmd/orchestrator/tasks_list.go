package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

var allStates = []orchestrator.State{
	orchestrator.Ready, orchestrator.Scheduled, orchestrator.Retrying, orchestrator.Blocked, orchestrator.Throttled, orchestrator.Running,
	orchestrator.Succeeded, orchestrator.Dead, orchestrator.Cancelled, orchestrator.Expired,
}

func (c *cli) tasksListCommand() *cobra.Command {
	var states stateList
	var choose chooseFlags
	var list listFlags
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List tasks, the newest first",
		Example: `  orchestrator tasks list --state running,retrying
  orchestrator tasks list --type email:send --since 1h --json`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				filter := orchestrator.TaskFilter{
					States: states, Types: choose.types, Queues: choose.queues, Codes: choose.errorCodes(),
					EnqueuedSince: choose.sinceTime(now),
				}
				header := []string{"ID", "TYPE", "STATE", "QUEUE", "PRIORITY", "ATTEMPTS", "ENQUEUED", "WHEN", "LAST ERROR"}
				return c.listTasks(cmd.Context(), client, client.Tasks(cmd.Context(), filter), list, header, func(t *orchestrator.TaskInfo) []string {
					return []string{t.ID.String(), t.Type, string(t.State), t.Queue, fmt.Sprint(t.Priority),
						fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts), age(now, t.EnqueuedAt), whenCell(now, t), errorCell(t)}
				})
			})
		},
	})
	cmd.Flags().Var(&states, "state", "only in these states: "+joined(allStates))
	choose.register(cmd, "only those enqueued in the last 90s, 2h, 7d, ...")
	list.register(cmd)
	return cmd
}

// whenCell says when a task runs that is not running, or when it ended.
func whenCell(now time.Time, t *orchestrator.TaskInfo) string {
	switch {
	case !t.FinishedAt.IsZero():
		return "ended " + age(now, t.FinishedAt)
	case t.State == orchestrator.Running:
		if t.Progress.Attempt > 0 {
			return percent(t.Progress.Fraction) + ", claimed " + age(now, t.ClaimedAt)
		}
		return "claimed " + age(now, t.ClaimedAt)
	case t.State == orchestrator.Ready:
		return "now"
	case t.State == orchestrator.Blocked, t.State == orchestrator.Throttled:
		return "due " + age(now, t.RunAt)
	}
	return age(now, t.RunAt)
}

// percent never rounds up to what is done.
func percent(fraction float64) string { return fmt.Sprintf("%d%%", int(fraction*100)) }

// stateList is the value of --state, comma-separated or repeated.
type stateList []orchestrator.State

// String implements pflag.Value.
func (l *stateList) String() string { return joined(*l) }

// Type implements pflag.Value.
func (l *stateList) Type() string { return "states" }

// Set implements pflag.Value.
func (l *stateList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		state := orchestrator.State(strings.TrimSpace(name))
		if !slices.Contains(allStates, state) {
			return fmt.Errorf("no state %q: want %s", name, joined(allStates))
		}
		*l = append(*l, state)
	}
	return nil
}

func joined(states []orchestrator.State) string {
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	return strings.Join(names, ", ")
}
