package spec_test

import (
	"testing"
	"testing/fstest"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
	"github.com/task-orchestrator/task-orchestrator/internal/largespec"
)

// BenchmarkParse700 reads the YAML and its grammar, up to the syntax tree.
func BenchmarkParse700(b *testing.B) {
	text := largespec.Text(largespec.Default)
	fsys := fstest.MapFS{"tasks.yaml": {Data: text}}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var bag diagnostic.Bag
		if file := spec.Parse(fsys, "tasks.yaml", &bag); file == nil || bag.Len() > 0 {
			b.Fatal(bag.List().Err())
		}
	}
}
