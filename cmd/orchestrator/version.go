package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, when it is known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *cli) versionCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(),
		RunE: func(*cobra.Command, []string) error {
			v := versionJSON{Version: orchestrator.Version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, setting := range info.Settings {
					if setting.Key == "vcs.revision" {
						v.Revision = setting.Value
					}
				}
			}
			if c.json {
				return c.printJSON(v)
			}
			_, err := fmt.Fprintf(c.stdout, "orchestrator %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	})
}
