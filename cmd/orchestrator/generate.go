package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/generate"
)

func (c *cli) generateCommand() *cobra.Command {
	var config generate.Config
	var format specFormat
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Generate the Go package of a spec",
		Long: `Generate the Go package of a spec.

Only files whose content changes are written, and files of earlier runs that
are no longer needed are removed. When the spec has mistakes, all of them are
printed and nothing is written.`,
		Example: `  //go:generate go tool orchestrator generate
  orchestrator generate --check    # in CI
  orchestrator generate --monitoring deploy/generated    # alerts and a dashboard, too`,
		GroupID: groupBuild,
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			report, err := generate.Run(config)
			switch {
			case errors.Is(err, generate.ErrSpec):
				return c.printMistakes(report.Mistakes, filepath.Dir(config.Spec), format)
			case errors.Is(err, fs.ErrNotExist):
				return noSpec(config.Spec, err)
			case errors.Is(err, generate.ErrStale):
				fmt.Fprint(c.stdout, report.Diff)
				stale := report.Out
				if m := report.Monitoring; m != nil && len(report.Written)+len(report.Removed) == 0 {
					stale = m.Out
				}
				return fmt.Errorf("%s is not what %s generates: run `orchestrator generate`", stale, config.Spec)
			case err != nil:
				return err
			case config.Check:
				return nil
			}
			for _, name := range report.Written {
				fmt.Fprintln(c.stdout, "wrote", filepath.Join(report.Out, name))
			}
			for _, name := range report.Removed {
				fmt.Fprintln(c.stdout, "removed", filepath.Join(report.Out, name))
			}
			if m := report.Monitoring; m != nil {
				for _, name := range m.Written {
					fmt.Fprintln(c.stdout, "wrote", filepath.Join(m.Out, name))
				}
			}
			return nil
		},
	}
	specFlags(cmd, &config.Spec, &format)
	cmd.Flags().StringVar(&config.Out, "out", "", "directory of the package (default: beside the spec, named like the package)")
	cmd.Flags().StringVar(&config.Monitoring, "monitoring", "", "also write Prometheus rules and a Grafana dashboard to this `directory`")
	cmd.Flags().BoolVar(&config.Check, "check", false, "write nothing; print a diff and fail when the package is stale")
	return cmd
}
