package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) tasksCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:     "tasks",
		Short:   "List tasks, show one, or cancel them",
		GroupID: groupLook,
	}, c.tasksListCommand(), c.tasksShowCommand(), c.tasksCancelCommand())
}

// taskID reads an id from the command line.
func taskID(text string) (orchestrator.TaskID, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, fmt.Errorf("%q is not a task id: want a number, as `orchestrator tasks list` prints it", text)
	}
	return orchestrator.TaskID(id), nil
}

// chooseFlags are the flags that choose tasks by what they are.
type chooseFlags struct {
	types, queues, codes []string
	since                delay
}

func (f *chooseFlags) register(cmd *cobra.Command, since string) {
	cmd.Flags().StringSliceVar(&f.types, "type", nil, "only of these task types")
	cmd.Flags().StringSliceVar(&f.queues, "queue", nil, "only in these queues")
	cmd.Flags().StringSliceVar(&f.codes, "code", nil, "only those whose last error has one of these codes")
	cmd.Flags().Var(&f.since, "since", since)
}

func (f *chooseFlags) errorCodes() []orchestrator.Code {
	var codes []orchestrator.Code
	for _, code := range f.codes {
		codes = append(codes, orchestrator.Code(code))
	}
	return codes
}

// sinceTime is the moment --since means; zero without it.
func (f *chooseFlags) sinceTime(now time.Time) time.Time {
	if f.since == 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(f.since))
}

// errorCell is a task's last error in one line.
func errorCell(t *orchestrator.TaskInfo) string {
	last := t.LastError()
	if last == nil {
		return ""
	}
	return oneLine(errorText(last), 60)
}

// errorText is an error with its code before it, unless it begins with it.
func errorText(e *orchestrator.AttemptError) string {
	if e.Code == "" || strings.HasPrefix(e.Message, string(e.Code)) {
		return e.Message
	}
	return string(e.Code) + ": " + e.Message
}
