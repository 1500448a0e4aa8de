package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// specFormat is how mistakes of a spec are printed.
type specFormat string

// String implements pflag.Value.
func (f *specFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *specFormat) Type() string { return "text|json" }

// Set implements pflag.Value.
func (f *specFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("want text or json")
	}
	*f = specFormat(s)
	return nil
}

// specFlags adds the flags of the commands that read a spec.
func specFlags(cmd *cobra.Command, spec *string, format *specFormat) {
	cmd.Flags().StringVar(spec, "spec", "tasks.yaml", "the spec `file`")
	*format = "text"
	cmd.Flags().Var(format, "format", "how mistakes are printed: text on standard error, json on standard output")
}

// loadSpec reads a spec for a command that only looks at it. Mistakes are printed.
func (c *cli) loadSpec(path string, format specFormat) (*model.Spec, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, noSpec(path, err)
	}
	spec, mistakes := model.Load(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if spec == nil {
		return nil, c.printMistakes(mistakes, filepath.Dir(path), format)
	}
	return spec, nil
}

// printMistakes prints the diagnostics of a spec in dir, with paths as they
// are from here.
func (c *cli) printMistakes(mistakes diagnostic.List, dir string, format specFormat) error {
	for i := range mistakes {
		mistakes[i].File = pathFrom(dir, mistakes[i].File)
		for j := range mistakes[i].Related {
			mistakes[i].Related[j].File = pathFrom(dir, mistakes[i].Related[j].File)
		}
	}
	write := func() error { return mistakes.WriteText(c.stderr) }
	if format == "json" {
		write = func() error { return mistakes.WriteJSON(c.stdout) }
	}
	if err := write(); err != nil {
		return err
	}
	return errReported
}

func pathFrom(dir, file string) string {
	if file == "" {
		return ""
	}
	return filepath.ToSlash(filepath.Join(dir, filepath.FromSlash(file)))
}

func noSpec(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: name the file with --spec, or write a first one with `orchestrator init`", path)
	}
	return err
}
