package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) tasksShowCommand() *cobra.Command {
	var id orchestrator.TaskID
	var reveal bool
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of one task",
		Long: `Show all that is known of one task: its times, payload, result, and what
went wrong, with the stack traces of panics.`,
		Args: func(cmd *cobra.Command, args []string) (err error) {
			if err := arguments("ID")(cmd, args); err != nil {
				return err
			}
			id, err = taskID(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				task, err := client.TaskInfo(cmd.Context(), id)
				if err == nil && !reveal {
					task, err = client.Redacted(cmd.Context(), task)
				}
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(task)
				}
				c.printTask(now, &task)
				return nil
			})
		},
	})
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print sensitive fields too")
	return cmd
}

func (c *cli) printTask(now time.Time, t *orchestrator.TaskInfo) {
	rows := newTable(c.stdout)
	line := func(name, value string) {
		if value != "" {
			rows.row(name, value)
		}
	}
	moment := func(name string, at time.Time) {
		if !at.IsZero() {
			line(name, at.UTC().Format("2006-01-02 15:04:05.000 UTC")+"  "+age(now, at))
		}
	}
	line("task", t.ID.String())
	line("type", t.Type)
	line("state", string(t.State))
	line("queue", t.Queue)
	line("priority", strconv.Itoa(t.Priority))
	line("attempts", fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts))
	line("group", printable(t.GroupKey))
	line("limit", printable(t.LimitKey))
	moment("enqueued", t.EnqueuedAt)
	if t.ScheduledFor.After(t.EnqueuedAt) {
		moment("scheduled for", t.ScheduledFor)
	}
	if t.State != orchestrator.Running {
		moment("next attempt", t.RunAt)
	}
	moment("expires", t.ExpiresAt)
	moment("deadline", t.DeadlineAt)
	moment("last claimed", t.ClaimedAt)
	if p := t.Progress; p.Attempt > 0 {
		line("progress", strings.TrimRight(percent(p.Fraction)+"  "+oneLine(p.Message, 200), " "))
		line("", fmt.Sprintf("attempt %d, %s", p.Attempt, age(now, p.At)))
	}
	moment("ended", t.FinishedAt)
	if t.Worker != 0 {
		line("last worker", strconv.FormatInt(t.Worker, 10))
	}
	if t.Suspect {
		line("suspect", "it was running in a process that died")
	}
	line("trace", traceCell(t.TraceParent))
	for _, key := range slices.Sorted(maps.Keys(t.Metadata)) {
		line("metadata", printable(key+"="+t.Metadata[key]))
	}
	rows.flush()
	c.printDocument("payload", t.Payload)
	c.printDocument("result", t.Result)
	c.printErrors(now, t.Errors)
}

func (c *cli) printDocument(name string, document json.RawMessage) {
	if len(document) == 0 {
		return
	}
	var text bytes.Buffer
	if json.Indent(&text, document, "  ", "  ") != nil {
		text.Write(document)
	}
	fmt.Fprintf(c.stdout, "\n%s\n  %s\n", name, printable(text.String()))
}

func (c *cli) printErrors(now time.Time, errs []orchestrator.AttemptError) {
	if len(errs) > 0 {
		fmt.Fprintln(c.stdout, "\nerrors")
	}
	for _, e := range errs {
		fmt.Fprintf(c.stdout, "  attempt %d, %s: %s\n", e.Attempt, age(now, e.At), indented(errorText(&e)))
		if e.Trace != "" {
			fmt.Fprintf(c.stdout, "    trace %s\n", traceCell(e.Trace))
		}
		if e.Stack != "" {
			fmt.Fprintf(c.stdout, "    %s\n", indented(e.Stack))
		}
	}
}

// traceCell is the trace id of a traceparent, which is what people look up.
func traceCell(parent string) string {
	parts := strings.Split(parent, "-") // version, trace id, span id, flags
	if len(parts) < 4 {
		return printable(parent)
	}
	if flags, err := strconv.ParseUint(parts[3], 16, 8); err == nil && flags&1 == 0 {
		return printable(parts[1]) + "  not sampled"
	}
	return printable(parts[1])
}

// indented keeps the later lines of a text below the first.
func indented(text string) string {
	return strings.ReplaceAll(strings.TrimRight(printable(text), "\n"), "\n", "\n    ")
}
