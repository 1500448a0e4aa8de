package diagnostic

import (
	"cmp"
	"fmt"
	"slices"
)

// limit bounds a hostile file's diagnostics; no person's spec comes near it.
const limit = 1000

// Bag collects the diagnostics of one run. The zero value is ready to use. A
// Bag serves one goroutine.
type Bag struct {
	files   map[string]int
	list    List
	dropped int
}

// File tells the bag that the run reads a file. Diagnostics are sorted by file
// in the order of these calls, so that the root file comes first.
func (b *Bag) File(name string) {
	if b.files == nil {
		b.files = make(map[string]int)
	}
	if _, known := b.files[name]; !known {
		b.files[name] = len(b.files)
	}
}

// Add records a mistake.
func (b *Bag) Add(d Diagnostic) {
	if len(b.list) >= limit {
		b.dropped++
		return
	}
	b.list = append(b.list, d)
}

// Len is the number of mistakes so far.
func (b *Bag) Len() int { return len(b.list) + b.dropped }

// Full tells that further mistakes are counted but not kept, so that finding a
// suggestion for one is not worth the time.
func (b *Bag) Full() bool { return len(b.list) >= limit }

// List returns the mistakes sorted by file, line and column. Of several at one
// place with one message the first stays.
func (b *Bag) List() List {
	sorted := slices.Clone(b.list)
	slices.SortStableFunc(sorted, func(x, y Diagnostic) int {
		return cmp.Or(
			cmp.Compare(b.files[x.File], b.files[y.File]),
			cmp.Compare(x.Line, y.Line),
			cmp.Compare(x.Column, y.Column),
		)
	})
	sorted = slices.CompactFunc(sorted, func(x, y Diagnostic) bool {
		return x.Position == y.Position && x.Path == y.Path && x.Message == y.Message
	})
	if b.dropped > 0 {
		last := sorted[len(sorted)-1]
		sorted = append(sorted, Diagnostic{
			Place:   last.Place,
			Message: fmt.Sprintf("and %d more mistakes", b.dropped),
		})
	}
	return sorted
}
