package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) schedulesCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "schedules",
		Short: "List, create, pause or trigger schedules",
		Long: `List, create, pause or trigger schedules: what enqueues tasks by the clock.

Declared ones come from tasks.yaml, with the workers that were built from it, and
are changed there. Dynamic ones are created here or by a program.`,
		GroupID: groupLook,
	}, c.schedulesListCommand(), c.schedulesShowCommand(), c.schedulesNextCommand(), c.schedulesCreateCommand(),
		c.schedulesPauseCommand(), c.schedulesResumeCommand(), c.schedulesTriggerCommand(), c.schedulesDeleteCommand())
}

func (c *cli) schedulesListCommand() *cobra.Command {
	var reveal bool
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List schedules by name",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				all, err := client.Schedules(cmd.Context())
				if err != nil {
					return err
				}
				if c.json {
					return c.printSchedulesJSON(cmd.Context(), client, all, reveal)
				}
				return c.printSchedules(cmd.Context(), client, all)
			})
		},
	})
	cmd.Flags().BoolVar(&reveal, "reveal", false, "with --json: print sensitive fields too")
	return cmd
}

func (c *cli) printSchedulesJSON(ctx context.Context, client *orchestrator.Client, all []orchestrator.ScheduleInfo, reveal bool) error {
	list := &jsonList{out: c.stdout}
	for _, s := range all {
		if !reveal {
			var err error
			if s, err = client.RedactedSchedule(ctx, s); err != nil {
				return err
			}
		}
		if err := list.add(s); err != nil {
			return err
		}
	}
	return list.end()
}

func (c *cli) printSchedules(ctx context.Context, client *orchestrator.Client, all []orchestrator.ScheduleInfo) error {
	if len(all) == 0 {
		fmt.Fprintln(c.stderr, "none")
		return nil
	}
	now, err := now(ctx, client)
	if err != nil {
		return err
	}
	rows := newTable(c.stdout, "NAME", "TASK", "CRON", "TIMEZONE", "STATE", "NEXT RUN", "", "LAST RUN", "LAST TASK")
	for _, s := range all {
		next, in := "-", "-"
		if !s.NextAt.IsZero() {
			next, in = wallTime(s.NextAt, s.Timezone), age(now, s.NextAt)
		}
		last := "-"
		if s.LastTask != 0 {
			last = s.LastTask.String()
		}
		rows.row(s.Name, s.Type, s.Cron, s.Timezone, scheduleState(s), next, in, age(now, s.LastAt), last)
	}
	rows.flush()
	return nil
}

func scheduleState(s orchestrator.ScheduleInfo) string {
	if s.Declared {
		return string(s.State)
	}
	return string(s.State) + ", dynamic"
}

// wallTime is what a clock in a time zone shows, and how far from UTC it is.
func wallTime(at time.Time, zone string) string {
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC // a worker knows it, and this machine does not
	}
	return at.In(location).Format("2006-01-02 15:04:05 -07:00")
}

func (c *cli) schedulesShowCommand() *cobra.Command {
	var reveal bool
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "show NAME",
		Short: "Show all that is known of one schedule",
		Args:  arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				s, err := client.ScheduleInfo(cmd.Context(), args[0])
				if err == nil && !reveal {
					s, err = client.RedactedSchedule(cmd.Context(), s)
				}
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(s)
				}
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				c.printSchedule(now, s)
				return nil
			})
		},
	})
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print sensitive fields too")
	return cmd
}

func (c *cli) printSchedule(now time.Time, s orchestrator.ScheduleInfo) {
	rows := newTable(c.stdout)
	moment := func(name string, at time.Time) {
		if !at.IsZero() {
			rows.row(name, at.Format("2006-01-02 15:04:05 UTC"), age(now, at))
		}
	}
	from := "dynamic: created at run time"
	if s.Declared {
		from = "declared by a spec"
	}
	rows.row("schedule", s.Name)
	rows.row("from", from)
	rows.row("task", s.Type)
	rows.row("cron", s.Cron)
	rows.row("timezone", s.Timezone)
	rows.row("missed", s.Missed)
	rows.row("overlap", s.Overlap)
	rows.row("state", string(s.State))
	moment("paused", s.PausedAt)
	if !s.NextAt.IsZero() {
		rows.row("next run", wallTime(s.NextAt, s.Timezone), age(now, s.NextAt))
		moment("", s.NextAt)
	}
	moment("last run", s.LastAt)
	if s.LastTask != 0 {
		rows.row("last task", s.LastTask.String())
	}
	moment("created", s.CreatedAt)
	moment("changed", s.UpdatedAt)
	rows.flush()
	c.printDocument("payload", s.Payload)
}

func (c *cli) schedulesNextCommand() *cobra.Command {
	var n int
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "next NAME",
		Short: "Print the next due times of a schedule",
		Args:  arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				s, err := client.ScheduleInfo(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				runs, err := client.NextRuns(cmd.Context(), args[0], n)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(runs)
				}
				rows := newTable(c.stdout, "LOCAL ("+s.Timezone+")", "UTC")
				for _, at := range runs {
					rows.row(wallTime(at, s.Timezone), at.Format("2006-01-02 15:04:05"))
				}
				rows.flush()
				if s.State != orchestrator.ScheduleActive {
					fmt.Fprintf(c.stderr, "The schedule is %s: these are what it would have.\n", s.State)
				}
				return nil
			})
		},
	})
	cmd.Flags().IntVarP(&n, "number", "n", 5, "how many")
	return cmd
}

func (c *cli) schedulesCreateCommand() *cobra.Command {
	var s orchestrator.Schedule
	var task, payload string
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "create NAME",
		Short: "Create a dynamic schedule, or change one",
		Long: `Create a dynamic schedule, or change one.

The payload is checked against the newest contract of the type that is stored in
the database. The next due time moves only when the expression or the time zone
changes; a paused schedule stays paused.`,
		Example: `  orchestrator schedules create customer:42 --task report:digest --cron "0 9 * * MON-FRI" --timezone Europe/Lisbon \
    --payload '{"title": "Daily"}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"task", "cron"} {
				if !cmd.Flags().Changed(name) {
					return fmt.Errorf("missing --%s", name)
				}
			}
			return arguments("NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := c.payload(payload)
			if err != nil {
				return err
			}
			s.Name, s.Payload = args[0], string(text)
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				info, err := client.PutScheduleRaw(cmd.Context(), task, s)
				if err == nil {
					info, err = client.RedactedSchedule(cmd.Context(), info)
				}
				if err != nil {
					return err
				}
				return c.printChanged(cmd.Context(), client, info)
			})
		},
	})
	f := cmd.Flags()
	f.StringVar(&task, "task", "", "task type (required)")
	f.StringVar(&s.Cron, "cron", "", `five fields, or @hourly, @daily, @weekly, @monthly, @yearly, "@every 90m" (required)`)
	f.StringVar(&s.Timezone, "timezone", "UTC", "IANA name")
	f.StringVar(&payload, "payload", "{}", "JSON, or @FILE, or - for standard input")
	f.StringVar(&s.Missed, "missed", "run_once", "due times that passed while no worker ran: skip, run_once, run_all")
	f.StringVar(&s.Overlap, "overlap", "skip", "due times that find the last task live: skip, allow")
	return cmd
}

// printChanged says how a schedule stands now.
func (c *cli) printChanged(ctx context.Context, client *orchestrator.Client, s orchestrator.ScheduleInfo) error {
	if c.json {
		return c.printJSON(s)
	}
	now, err := now(ctx, client)
	if err != nil {
		return err
	}
	next := ""
	if !s.NextAt.IsZero() {
		next = fmt.Sprintf(", next run %s, %s", wallTime(s.NextAt, s.Timezone), age(now, s.NextAt))
	}
	_, err = fmt.Fprintf(c.stdout, "%s is %s%s\n", s.Name, s.State, next)
	return err
}

// changeCommand changes one schedule by name and prints how it stands then.
func (c *cli) changeCommand(use, short string, change func(context.Context, *orchestrator.Client, string) error) *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   use + " NAME",
		Short: short,
		Args:  arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				if err := change(cmd.Context(), client, args[0]); err != nil {
					return err
				}
				info, err := client.ScheduleInfo(cmd.Context(), args[0])
				if err == nil {
					info, err = client.RedactedSchedule(cmd.Context(), info)
				}
				if err != nil {
					return err
				}
				return c.printChanged(cmd.Context(), client, info)
			})
		},
	})
}

func (c *cli) schedulesPauseCommand() *cobra.Command {
	return c.changeCommand("pause", "Let a schedule rest until it is resumed, whatever is deployed meanwhile",
		func(ctx context.Context, client *orchestrator.Client, name string) error {
			return client.PauseSchedule(ctx, name)
		})
}

func (c *cli) schedulesResumeCommand() *cobra.Command {
	return c.changeCommand("resume", "Let a paused schedule go on; what was due meanwhile is skipped",
		func(ctx context.Context, client *orchestrator.Client, name string) error {
			return client.ResumeSchedule(ctx, name)
		})
}

func (c *cli) schedulesTriggerCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "trigger NAME",
		Short: "Enqueue a task of a schedule now and print its id; due times stay",
		Args:  arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				info, err := client.ScheduleInfo(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				ref, err := client.TriggerSchedule(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return c.printEnqueued(cmd, client, info.Type, ref, false)
			})
		},
	})
}

type deletedJSON struct {
	Deleted string `json:"deleted"`
}

func (c *cli) schedulesDeleteCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a dynamic schedule; what it has enqueued stays",
		Args:  arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				if err := client.DeleteSchedule(cmd.Context(), args[0]); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(deletedJSON{args[0]})
				}
				_, err := io.WriteString(c.stdout, "deleted: "+args[0]+"\n")
				return err
			})
		},
	})
}
