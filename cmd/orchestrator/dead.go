package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) deadCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "dead",
		Short: "List, redrive or purge dead letters",
		Long: `List, redrive or purge dead letters: tasks that have used up their attempts or
failed for good. They stay until somebody redrives or purges them.`,
		GroupID: groupLook,
	}, c.deadListCommand(), c.deadRedriveCommand(), c.deadPurgeCommand())
}

func (c *cli) deadListCommand() *cobra.Command {
	var choose chooseFlags
	var list listFlags
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List dead letters, those that died last first",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				dead := client.DeadTasks(cmd.Context(), choose.dead(nil, now))
				header := []string{"ID", "TYPE", "QUEUE", "ATTEMPTS", "ENQUEUED", "DIED", "LAST ERROR"}
				return c.listTasks(cmd.Context(), client, dead, list, header, func(t *orchestrator.TaskInfo) []string {
					return []string{t.ID.String(), t.Type, t.Queue, fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts),
						age(now, t.EnqueuedAt), age(now, t.FinishedAt), errorCell(t)}
				})
			})
		},
	})
	choose.register(cmd, sinceDead)
	list.register(cmd)
	return cmd
}

const sinceDead = "only those that died in the last 90s, 2h, 7d, ..."

func (f *chooseFlags) dead(ids []orchestrator.TaskID, now time.Time) orchestrator.DeadFilter {
	return orchestrator.DeadFilter{IDs: ids, Types: f.types, Queues: f.queues, Codes: f.errorCodes(), DiedSince: f.sinceTime(now)}
}

type redrivenJSON struct {
	Redriven int `json:"redriven"`
}

func (c *cli) deadRedriveCommand() *cobra.Command {
	var choose chooseDead
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "redrive [ID...]",
		Short: "Put dead letters back into their queues, with all attempts before them",
		Example: `  orchestrator dead redrive 1204 1207
  orchestrator dead redrive --type email:send --code smtp_down --since 2h`,
		Args: choose.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				filter, err := choose.filter(cmd.Context(), client)
				if err != nil {
					return err
				}
				n, err := client.Redrive(cmd.Context(), filter)
				if c.json {
					err = errors.Join(err, c.printJSON(redrivenJSON{n}))
				} else {
					fmt.Fprintf(c.stdout, "redriven: %s\n", plural(n, "task"))
				}
				return errors.Join(err, choose.allFound(n))
			})
		},
	})
	choose.register(cmd)
	return cmd
}

type purgedJSON struct {
	Purged int `json:"purged"`
}

func (c *cli) deadPurgeCommand() *cobra.Command {
	var choose chooseDead
	var yes bool
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "purge [ID...]",
		Short: "Delete dead letters for good",
		Args:  choose.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				filter, err := choose.filter(cmd.Context(), client)
				if err != nil {
					return err
				}
				if !yes {
					n, err := client.CountDead(cmd.Context(), filter)
					if err != nil {
						return err
					}
					if err := c.confirm(false, fmt.Sprintf("This deletes %s for good", plural(n, "dead letter"))); err != nil {
						return err
					}
				}
				n, err := client.PurgeDead(cmd.Context(), filter)
				if c.json {
					err = errors.Join(err, c.printJSON(purgedJSON{n}))
				} else {
					fmt.Fprintf(c.stdout, "purged: %s\n", plural(n, "dead letter"))
				}
				return errors.Join(err, choose.allFound(n))
			})
		},
	})
	choose.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// chooseDead are the arguments that choose dead letters to change.
type chooseDead struct {
	chooseFlags
	all bool
	ids []orchestrator.TaskID
}

func (f *chooseDead) register(cmd *cobra.Command) {
	f.chooseFlags.register(cmd, sinceDead)
	cmd.Flags().BoolVar(&f.all, "all", false, "all dead letters")
}

// args reads the ids. Nothing chosen must not mean everything.
func (f *chooseDead) args(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		id, err := taskID(arg)
		if err != nil {
			return err
		}
		if !slices.Contains(f.ids, id) {
			f.ids = append(f.ids, id)
		}
	}
	narrowed := f.ids != nil || f.types != nil || f.queues != nil || f.codes != nil || f.since > 0
	switch {
	case !narrowed && !f.all:
		return errors.New("which dead letters? Give ids, or --type, --queue, --code or --since, or --all")
	case narrowed && f.all:
		return errors.New("--all goes with no other choice")
	}
	return nil
}

func (f *chooseDead) filter(ctx context.Context, client *orchestrator.Client) (orchestrator.DeadFilter, error) {
	now, err := now(ctx, client)
	return f.dead(f.ids, now), err
}

// allFound fails when an id was named that is no dead letter.
func (f *chooseDead) allFound(n int) error {
	if n < len(f.ids) {
		return fmt.Errorf("%d of the %d ids are not among the dead letters that were chosen", len(f.ids)-n, len(f.ids))
	}
	return nil
}
