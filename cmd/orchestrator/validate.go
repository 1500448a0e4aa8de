package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

func (c *cli) validateCommand() *cobra.Command {
	var spec string
	var format specFormat
	cmd := &cobra.Command{
		Use:     "validate",
		Short:   "Check a spec and write nothing",
		GroupID: groupBuild,
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			loaded, err := c.loadSpec(spec, format)
			if err != nil {
				return err
			}
			if format == "json" {
				return diagnostic.List{}.WriteJSON(c.stdout)
			}
			_, err = fmt.Fprintf(c.stdout, "%s is good: %s, %s, %s\n", spec,
				plural(len(loaded.Tasks), "task"), plural(len(loaded.Queues), "queue"), plural(len(loaded.Schedules), "schedule"))
			return err
		},
	}
	specFlags(cmd, &spec, &format)
	return cmd
}
