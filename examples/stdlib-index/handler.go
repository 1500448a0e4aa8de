package main

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/task-orchestrator/task-orchestrator/generated"
)

// indexer handles source:index. It is a generated.SourceHandlers: without its
// method the program does not compile.
type indexer struct {
	tree fs.FS
}

// HandleSourceIndex counts what is in one file. A file that cannot be read is
// tried again; one that cannot be parsed never will be, so it fails with the
// code that tasks.yaml lists under give_up_on.
func (x indexer) HandleSourceIndex(_ context.Context, t *generated.SourceIndexTask) (generated.SourceIndexResult, error) {
	source, err := fs.ReadFile(x.tree, t.Payload.Path)
	if err != nil {
		return generated.SourceIndexResult{}, err
	}
	exported, err := countExported(t.Payload.Path, source)
	if err != nil {
		return generated.SourceIndexResult{}, fmt.Errorf("%w: %w", generated.SourceIndexSyntax, err)
	}
	return generated.SourceIndexResult{
		Lines:    countLines(source),
		Bytes:    int64(len(source)),
		Exported: exported,
	}, nil
}
