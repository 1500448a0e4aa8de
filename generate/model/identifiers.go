package model

import (
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// The exported identifiers the generator emits, by what they are made from.
// Whoever makes the emitter declare a further one adds it here: collisions are
// found over these alone. Unexported identifiers begin with a lower-case word
// followed by one of these names, so they are distinct when these are.

// specIdentifiers are emitted once a package.
var specIdentifiers = []string{"Handlers", "Register"}

// taskIdentifiers are those of a task with a given Go name. Those of its result
// are reserved even if it has none, so that a result can be added later.
func taskIdentifiers(goName string) []string {
	return []string{
		goName,
		goName + "Payload",
		goName + "Result",
		goName + "Task",
		goName + "Handler",
		"Enqueue" + goName,
		"Enqueue" + goName + "Many",
		"Register" + goName,
		"Lookup" + goName,
	}
}

// segmentIdentifiers are those of a first name segment. A lone segment shares
// its Register function with its task.
func segmentIdentifiers(s *Segment) []string {
	if s.Lone {
		return []string{s.GoName + "Handlers"}
	}
	return []string{s.GoName + "Handlers", "Register" + s.GoName}
}

func queueIdentifier(goName string) string    { return "Queue" + goName }
func scheduleIdentifier(goName string) string { return "Schedule" + goName }

// typeMethods are the methods the generator gives to object types; a struct
// cannot have a field of the same name.
var typeMethods = []string{"Validate", "MarshalJSON", "UnmarshalJSON"}

// identifiers finds collisions among the emitted names.
type identifiers struct {
	bag      *diagnostic.Bag
	declared map[string]identifier
	reported map[[2]*spec.Node]bool
}

// identifier is who declared a name.
type identifier struct {
	what string     // "task email:send"
	node *spec.Node // nil for what no line of the spec stands for
}

func newIdentifiers(bag *diagnostic.Bag) *identifiers {
	ids := &identifiers{
		bag:      bag,
		declared: make(map[string]identifier),
		reported: make(map[[2]*spec.Node]bool),
	}
	for _, name := range specIdentifiers {
		ids.declared[name] = identifier{what: "the generated package itself"}
	}
	return ids
}

// declare records a name, or reports who has it already. Two declarations that
// collide in several names are reported once.
func (ids *identifiers) declare(name, what string, node *spec.Node) {
	first, taken := ids.declared[name]
	if !taken {
		ids.declared[name] = identifier{what: what, node: node}
		return
	}
	if node == nil {
		// What no line stands for cannot be blamed; the other one can.
		first, node, what = identifier{what: what}, first.node, first.what
	}
	if node == nil || ids.reported[[2]*spec.Node{first.node, node}] {
		return
	}
	ids.reported[[2]*spec.Node{first.node, node}] = true
	d := diagnostic.Diagnostic{
		Place:      node.Place,
		Path:       node.Path,
		Message:    fmt.Sprintf("the Go name %s of %s collides with that of %s", name, what, first.what),
		Suggestion: "give one of them a go_name",
	}
	if first.node != nil {
		d.Related = []diagnostic.Related{{Place: first.node.Place, Message: first.what + " is here"}}
	}
	ids.bag.Add(d)
}

// declareAll records several names of one declaration.
func (ids *identifiers) declareAll(names []string, what string, node *spec.Node) {
	for _, name := range names {
		ids.declare(name, what, node)
	}
}
