package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) policyCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "policy",
		Short: "Override the policy of a task type for a while",
		Long: `Override timeout and retries of a task type on all workers, for a while. It beats
what workers were compiled with and what tasks were enqueued with, and ends by
itself: what is to stay belongs in tasks.yaml.`,
		GroupID: groupLook,
	}, c.policySetCommand(), c.policyListCommand(), c.policyClearCommand())
}

func (c *cli) policySetCommand() *cobra.Command {
	var policy orchestrator.Policy
	var lasts delay
	cmd := &cobra.Command{
		Use:   "set TYPE NAME=VALUE... --for DURATION",
		Short: "Override settings of a policy",
		Long: `Override settings of a policy: timeout, max_attempts, backoff, base_delay,
max_delay, multiplier and jitter, as tasks.yaml has them. What was overridden
before is replaced. A timeout holds for attempts that start from now on, the
rest for attempts that fail from now on.`,
		Example: `  orchestrator policy set email:send timeout=2m max_attempts=3 --for 2h
  orchestrator policy set email:send base_delay=10m jitter=full --for 1d`,
		Args: func(_ *cobra.Command, args []string) (err error) {
			switch {
			case len(args) == 0:
				return errors.New("missing TYPE")
			case len(args) == 1:
				return errors.New("set what? Give settings such as timeout=2m")
			case lasts == 0:
				return errors.New("for how long? Give --for, such as --for 2h")
			}
			if policy, err = orchestrator.ParsePolicy(args[1:]...); err != nil {
				return errors.New(strings.ReplaceAll(err.Error(), "orchestrator: ", ""))
			}
			return nil
		},
	}
	cmd.Flags().Var(&lasts, "for", "how long it holds: 30m, 2h, at most 30d")
	options := undeclared(cmd, "type")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
			expires, err := client.SetPolicy(cmd.Context(), args[0], policy, time.Duration(lasts), options()...)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "set: %s %s, until %s\n", printable(args[0]), policy.String(), expires.Format(time.DateTime+" MST"))
			return nil
		})
	}
	return cmd
}

func (c *cli) policyListCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List the policies that are overridden now",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				types, err := client.Types(cmd.Context())
				if err != nil {
					return err
				}
				var overridden []orchestrator.TypeInfo
				for _, t := range types {
					if t.Policy != nil {
						overridden = append(overridden, t)
					}
				}
				if c.json {
					return printList(c, overridden)
				}
				now, err := now(cmd.Context(), client)
				if err != nil {
					return err
				}
				if len(overridden) == 0 {
					fmt.Fprintln(c.stderr, "none")
					return nil
				}
				rows := newTable(c.stdout, "TYPE", "POLICY", "ENDS")
				for _, t := range overridden {
					rows.row(t.Type, t.Policy.String(), age(now, t.PolicyExpiresAt))
				}
				rows.flush()
				return nil
			})
		},
	})
}

func (c *cli) policyClearCommand() *cobra.Command {
	return c.eachCommand(&cobra.Command{
		Use:   "clear TYPE...",
		Short: "Return to the declared policy now",
	}, "TYPE", "cleared", func(ctx context.Context, client *orchestrator.Client, name string) error {
		return client.ClearPolicy(ctx, name)
	})
}
