package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

type settingJSON struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // as it would be written in YAML
	Origin string `json:"origin"`
	File   string `json:"file,omitempty"` // "" for the engine's defaults
	Line   int    `json:"line,omitempty"`
}

func (c *cli) explainCommand() *cobra.Command {
	var spec string
	var format specFormat
	cmd := c.jsonFlag(&cobra.Command{
		Use:     "explain TYPE",
		Short:   "Print every resolved setting of a task type and where it comes from",
		Example: "  orchestrator explain email:send",
		GroupID: groupBuild,
		Args:    arguments("TYPE"),
		RunE: func(_ *cobra.Command, args []string) error {
			loaded, err := c.loadSpec(spec, format)
			if err != nil {
				return err
			}
			task, err := taskNamed(loaded, args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", spec, err)
			}
			list, rows := &jsonList{out: c.stdout}, newTable(c.stdout, "SETTING", "VALUE", "FROM")
			for _, s := range task.Settings {
				one := settingJSON{s.Key, s.Value, s.Origin, pathFrom(filepath.Dir(spec), s.Position.File), s.Position.Line}
				if c.json {
					if err := list.add(one); err != nil {
						return err
					}
					continue
				}
				from := one.Origin
				if one.File != "" {
					from = fmt.Sprintf("%s (%s:%d)", one.Origin, one.File, one.Line)
				}
				rows.row(one.Key, one.Value, from)
			}
			if c.json {
				return list.end()
			}
			rows.flush()
			return nil
		},
	})
	specFlags(cmd, &spec, &format)
	return cmd
}

func taskNamed(spec *model.Spec, name string) (*model.Task, error) {
	names := make([]string, len(spec.Tasks))
	for i, task := range spec.Tasks {
		if task.Name == name {
			return task, nil
		}
		names[i] = task.Name
	}
	if hint := diagnostic.DidYouMean(name, names); hint != "" {
		return nil, fmt.Errorf("no task %q; %s", name, hint)
	}
	return nil, fmt.Errorf("no task %q", name)
}
