package golang

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/schema"
)

// The files that every package may have beside its segments'.
const (
	typesFile = "types_gen.go"
	tasksFile = "tasks_gen.go"
)

const enginePath = "github.com/task-orchestrator/task-orchestrator/orchestrator"

// plan writes down all files of the package.
func plan(spec *model.Spec) ([]*file, error) {
	var files []*file
	inSegment := map[*model.Type]bool{}
	whole := &wholeDecl{Source: spec.Files[0], Queues: queueDecls(spec)}
	for _, segment := range spec.Segments {
		f, err := planSegment(spec, segment)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		whole.Segments = append(whole.Segments, f.Segment)
		for _, t := range segment.Types {
			inSegment[t] = true
		}
	}
	shared := slices.DeleteFunc(slices.Clone(spec.Types), func(t *model.Type) bool { return inSegment[t] })
	if len(shared) > 0 {
		f, err := planTypes(spec, shared)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	files = append(files, planWhole(spec, whole))
	return files, nil
}

func planSegment(spec *model.Spec, segment *model.Segment) (*file, error) {
	e := newEmitter()
	e.use("context", enginePath, enginePath+"/codec")
	f := newFile(spec, segmentFile(segment.Name))
	f.Segment = segmentOf(segment)
	byTask, err := e.typesByTask(segment)
	if err != nil {
		return nil, err
	}
	for _, t := range segment.Tasks {
		d, err := e.taskDecl(t)
		if err != nil {
			return nil, err
		}
		d.Types = byTask[t]
		for _, s := range spec.Schedules {
			if s.Task == t {
				d.Schedules = append(d.Schedules, scheduleOf(s))
			}
		}
		f.Tasks = append(f.Tasks, d)
		f.Schemas = append(f.Schemas, schemas(t)...)
	}
	f.Imports = e.imports()
	return f, nil
}

// typesByTask writes each type down beside the task that uses it first.
func (e *emitter) typesByTask(segment *model.Segment) (map[*model.Task][]*typeDecl, error) {
	owners := owners(segment)
	byTask := map[*model.Task][]*typeDecl{}
	for _, t := range segment.Types {
		o := owners[t]
		d, err := e.typeDecl(t, o)
		if err != nil {
			return nil, err
		}
		byTask[o.task] = append(byTask[o.task], d)
	}
	return byTask, nil
}

func schemas(t *model.Task) []constant {
	document := func(what string, body *model.Type) constant {
		return constant{
			Name:  "schema" + t.GoName + what,
			Value: quote(string(schema.Document(t.Name+" "+strings.ToLower(what), body))),
		}
	}
	all := []constant{document("Payload", t.Payload)}
	if t.Result != nil {
		all = append(all, document("Result", t.Result))
	}
	return all
}

func planTypes(spec *model.Spec, shared []*model.Type) (*file, error) {
	e := newEmitter()
	f := newFile(spec, typesFile)
	for _, t := range shared {
		d, err := e.typeDecl(t, owner{})
		if err != nil {
			return nil, err
		}
		f.Types = append(f.Types, d)
	}
	f.Imports = e.imports()
	return f, nil
}

func planWhole(spec *model.Spec, whole *wholeDecl) *file {
	e := newEmitter()
	e.use(enginePath)
	for _, q := range whole.Queues {
		if slices.ContainsFunc(q.Definition, func(s setting) bool { return strings.Contains(s.Value, "time.") }) {
			e.use("time")
		}
	}
	for _, s := range spec.Schedules {
		whole.Schedules = append(whole.Schedules, scheduleOf(s))
	}
	f := newFile(spec, tasksFile)
	f.Whole = whole
	f.Imports = e.imports()
	return f
}

func newFile(spec *model.Spec, name string) *file {
	return &file{
		Name:    name,
		Header:  HeaderPrefix + spec.Files[0] + ". DO NOT EDIT.",
		Package: spec.Package,
	}
}

// segmentFile names a segment's file. A segment's name ends in a letter or a
// digit, so that two underscores can collide with no other segment.
func segmentFile(segment string) string {
	name := segment + "_gen.go"
	if name == typesFile || name == tasksFile {
		return segment + "__gen.go"
	}
	return name
}

func segmentOf(segment *model.Segment) *segmentDecl {
	d := &segmentDecl{
		Segment:  segment.Name,
		Handlers: segment.GoName + "Handlers",
		Register: "Register" + segment.GoName,
		Shared:   segment.Lone,
	}
	for _, t := range segment.Tasks {
		d.Tasks = append(d.Tasks, t.GoName)
	}
	return d
}

// owner tells where a type is declared.
type owner struct {
	task    *model.Task
	subject string // "payload" or "result"; "" for a type inside one
}

// owners finds the task of each type of a segment, for its comment and for
// the subject of its violations.
func owners(segment *model.Segment) map[*model.Type]owner {
	found := map[*model.Type]owner{}
	var walk func(r *model.Ref, task *model.Task)
	walkType := func(t *model.Type, o owner) {
		if _, done := found[t]; done {
			return
		}
		found[t] = o
		for _, f := range t.Fields {
			walk(f.Type, o.task)
		}
		if t.Aliased != nil {
			walk(t.Aliased, o.task)
		}
	}
	walk = func(r *model.Ref, task *model.Task) {
		if r.Elem != nil {
			walk(r.Elem, task)
		}
		if r.Named != nil {
			walkType(r.Named, owner{task: task})
		}
	}
	for _, t := range segment.Tasks {
		walkType(t.Payload, owner{t, "payload"})
		if t.Result != nil {
			walkType(t.Result, owner{t, "result"})
		}
	}
	return found
}

// emitter builds the declarations of one file and remembers what they import.
type emitter struct {
	imported map[string]bool
}

func newEmitter() *emitter { return &emitter{imported: map[string]bool{}} }

func (e *emitter) use(paths ...string) {
	for _, path := range paths {
		e.imported[path] = true
	}
}

// imports returns the standard library's paths, then the engine's.
func (e *emitter) imports() [][]string {
	var standard, engine []string
	for path := range e.imported {
		if strings.HasPrefix(path, enginePath) {
			engine = append(engine, path)
		} else {
			standard = append(standard, path)
		}
	}
	slices.Sort(standard)
	slices.Sort(engine)
	return slices.DeleteFunc([][]string{standard, engine}, func(group []string) bool { return len(group) == 0 })
}

// quote writes a Go string literal, raw when it reads better that way.
func quote(s string) string {
	if strings.ContainsAny(s, "\"\\") && strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}

func unsupported(t *model.Type, f *model.Field, what string) error {
	return fmt.Errorf("%s.%s: %s", t.GoName, f.Name, what)
}
