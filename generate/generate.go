package generate

import (
	"io/fs"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/golang"
	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/monitoring"
)

// Package is a generated package: what [Generate] makes of a spec.
type Package struct {
	Name  string            // of the Go package
	Files map[string][]byte // source by file name, without a directory
	// Monitoring are the files that watch its tasks: rules for Prometheus and a
	// dashboard for Grafana, by file name.
	Monitoring map[string][]byte
}

// Generate reads the spec file called spec, and what it includes, from fsys.
// Equal specs give equal bytes. When the spec has mistakes, the list holds all
// of them and the Package is nil. An error is a fault of the generator.
func Generate(fsys fs.FS, spec string) (*Package, diagnostic.List, error) {
	resolved, mistakes := model.Load(fsys, spec)
	if resolved == nil {
		return nil, mistakes, nil
	}
	files, err := golang.Generate(resolved)
	if err != nil {
		return nil, nil, err
	}
	watching, err := monitoring.Generate(resolved)
	if err != nil {
		return nil, nil, err
	}
	return &Package{Name: resolved.Package, Files: files, Monitoring: watching}, nil, nil
}
