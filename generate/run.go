package generate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// ErrStale says that the directory is not what the spec generates.
var ErrStale = errors.New("generate: the generated code is not up to date with the spec")

// ErrSpec says that the spec has mistakes; the Report lists them.
var ErrSpec = errors.New("generate: the spec has mistakes")

// Config is what `orchestrator generate` is told.
type Config struct {
	Spec string // path of the spec file; "" is tasks.yaml
	// Out is the directory of the generated package; "" is a directory beside
	// the spec file, named like the package.
	Out string
	// Monitoring is the directory for Prometheus rules and a Grafana dashboard;
	// "" is none of them.
	Monitoring string
	Check      bool // compare only, and return ErrStale on a difference
}

// Report is what a run found and did.
type Report struct {
	Mistakes diagnostic.List // with ErrSpec
	Out      string          // the directory
	// Written and Removed are file names in Out, sorted: what was changed, or
	// would be with Check.
	Written, Removed []string
	Unchanged        int    // files that were as they should be
	Diff             string // unified, with Check; Monitoring's included
	// Monitoring reports on Config.Monitoring; nil without it.
	Monitoring *Report
}

// Run generates the package and brings the directory up to date, and that of
// the monitoring files if there is one. On an error a directory is as it was.
func Run(c Config) (*Report, error) {
	if c.Spec == "" {
		c.Spec = "tasks.yaml"
	}
	dir, name := filepath.Split(c.Spec)
	if dir == "" {
		dir = "."
	}
	if _, err := os.Stat(c.Spec); err != nil {
		return &Report{}, fmt.Errorf("generate: %w", err)
	}
	generated, mistakes, err := Generate(os.DirFS(dir), name)
	if err != nil {
		return &Report{}, err
	}
	if generated == nil {
		return &Report{Mistakes: mistakes}, ErrSpec
	}
	if c.Out == "" {
		c.Out = filepath.Join(dir, generated.Name)
	}
	changes, err := Compare(c.Out, generated)
	if err != nil {
		return &Report{}, err
	}
	report := changes.report()
	all := []*Changes{changes}
	if c.Monitoring != "" {
		more, err := CompareMonitoring(c.Monitoring, generated)
		if err != nil {
			return &Report{}, err
		}
		report.Monitoring = more.report()
		all = append(all, more)
	}
	for _, changes := range all {
		if c.Check {
			report.Diff += changes.Diff()
		} else if err := changes.Apply(); err != nil {
			return report, err
		}
	}
	if report.Diff != "" {
		return report, ErrStale
	}
	return report, nil
}
