package model

import (
	"io/fs"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// Load reads the spec file root and the files it includes from fsys, checks
// and resolves it. It reports every mistake of the spec in one run; the Spec is
// nil exactly when there is one. Root is a slash path in fsys; diagnostics and
// positions name files by their paths there, so a caller that opens the root
// file's directory shows paths relative to it.
func Load(fsys fs.FS, root string) (*Spec, diagnostic.List) {
	var bag diagnostic.Bag
	file := spec.Parse(fsys, root, &bag)
	if file == nil {
		return nil, bag.List()
	}
	resolved := resolve(file, &bag)
	if bag.Len() > 0 {
		return nil, bag.List()
	}
	return resolved, nil
}
