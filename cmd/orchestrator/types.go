package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) typesCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:     "types",
		Short:   "List task types, or pause them",
		GroupID: groupLook,
	}, c.typesListCommand(), c.typesPauseCommand(), c.typesResumeCommand())
}

func (c *cli) typesListCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List task types, and what is paused or overridden",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				types, err := client.Types(cmd.Context())
				if err != nil {
					return err
				}
				if c.json {
					return printList(c, types)
				}
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				if len(types) == 0 {
					fmt.Fprintln(c.stderr, "none")
					return nil
				}
				rows := newTable(c.stdout, "TYPE", "QUEUE", "STATE", "POLICY")
				for _, t := range types {
					policy := "as declared"
					if t.Policy != nil {
						policy = t.Policy.String() + ", ends " + age(now, t.PolicyExpiresAt)
					}
					rows.row(t.Type, t.Queue, pausedCell(now, t.PausedAt), policy)
				}
				rows.flush()
				return nil
			})
		},
	})
}

func (c *cli) typesPauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause TYPE...",
		Short: "Stop all workers from starting tasks of a type, in whatever queue",
	}
	options := undeclared(cmd, "type")
	return c.eachCommand(cmd, "TYPE", "paused", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.PauseType(ctx, name, options()...)
	})
}

func (c *cli) typesResumeCommand() *cobra.Command {
	return c.eachCommand(&cobra.Command{
		Use:   "resume TYPE...",
		Short: "Let workers start tasks of a paused type again",
	}, "TYPE", "resumed", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.ResumeType(ctx, name)
	})
}
