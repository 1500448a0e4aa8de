package largespec

import (
	"bytes"
	"fmt"
)

// Size is how large a spec is. The zero value is not usable; see [Default].
type Size struct {
	Tasks    int
	Segments int // first segments of the names, so files of generated code
	Fields   int // of each payload
}

// Default is the size that the generator's targets are about.
var Default = Size{Tasks: 700, Segments: 25, Fields: 8}

// Text is a spec of ordinary tasks. No two tasks share a shape, since the
// compiler shares what has the same shape. Equal sizes give equal bytes.
func Text(size Size) []byte {
	kinds := []string{
		"int64", "uuid", "{type: string, min_length: 1, max_length: 40}", "{type: string, format: email}",
		"list<string>", "optional<Money>", "{type: int, min: 1, default: 3}", "{type: string, sensitive: true}",
	}
	var b bytes.Buffer
	b.WriteString("version: 1\npackage: generated\n" +
		"types:\n  Money: {object: {amount: int64, currency: {enum: [EUR, USD]}}}\ntasks:\n")
	for i := range size.Tasks {
		fmt.Fprintf(&b, "  # Does the work number %d.\n  segment%d:work%d:\n", i, i%size.Segments, i)
		fmt.Fprintf(&b, "    idempotency: {key: [field0_%d], window: 24h}\n    payload:\n", i)
		for f := range size.Fields {
			fmt.Fprintf(&b, "      field%d_%d: %s\n", f, i, kinds[f%len(kinds)])
		}
		fmt.Fprintf(&b, "    result: {message_id_%d: string}\n", i)
	}
	return b.Bytes()
}
