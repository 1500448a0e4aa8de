package generate_test

import (
	"testing"
	"testing/fstest"

	"github.com/task-orchestrator/task-orchestrator/generate"
	"github.com/task-orchestrator/task-orchestrator/internal/largespec"
)

// BenchmarkGenerate700 is the whole pure function, from the bytes of a spec to
// the formatted files. Time and memory of the whole command: make scale.
func BenchmarkGenerate700(b *testing.B) {
	text := largespec.Text(largespec.Default)
	fsys := fstest.MapFS{"tasks.yaml": {Data: text}}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		generated, mistakes, err := generate.Generate(fsys, "tasks.yaml")
		if err != nil || generated == nil {
			b.Fatal(err, mistakes.Err())
		}
	}
}
