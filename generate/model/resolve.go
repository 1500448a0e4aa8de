package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// resolve looks up every reference, merges the settings, names everything in
// Go and checks what only the whole can tell. The result is good only when
// nothing was reported.
func resolve(file *spec.File, bag *diagnostic.Bag) *Spec {
	r := &resolver{
		file:       file,
		bag:        bag,
		ids:        newIdentifiers(bag),
		queues:     make(map[string]*Queue),
		policies:   make(map[string]*spec.Settings),
		types:      make(map[string]*Type),
		tasks:      make(map[string]*Task),
		taskNodes:  make(map[string]*spec.Node),
		segments:   make(map[string]*Segment),
		namedNodes: make(map[*Type]*spec.Node),
		broken:     make(map[*Type]bool),
		out:        &Spec{Package: file.Package.V, Files: file.Names},
	}
	r.resolveQueues()
	r.resolvePolicies()
	r.resolveTypes()
	r.resolveTasks()
	r.resolveSegments()
	r.resolveSchedules()
	r.checkRecursion()
	if bag.Len() > 0 {
		return nil
	}

	markTypes(r.out.Types)
	prints := newFingerprints()
	for _, t := range r.out.Tasks {
		t.Fingerprint = prints.contract(t)
	}
	slices.SortFunc(r.out.Types, func(a, b *Type) int { return cmp.Compare(a.GoName, b.GoName) })
	return r.out
}

// resolver holds the state of one resolve.
type resolver struct {
	file     *spec.File
	bag      *diagnostic.Bag
	ids      *identifiers
	queues   map[string]*Queue
	policies map[string]*spec.Settings
	types    map[string]*Type // of the `types` section
	tasks    map[string]*Task
	// taskNodes are the keys of the tasks.
	taskNodes map[string]*spec.Node
	// owned are the types of the task at hand, which belong to its segment;
	// nil outside a task.
	owned    *[]*Type
	segments map[string]*Segment
	// namedNodes are the keys of the `types` section by type.
	namedNodes map[*Type]*spec.Node
	// broken are types that lack what was refused and reported.
	broken map[*Type]bool
	// references are the uses of named types by named types, in order.
	references []reference
	out        *Spec
}

// wrong reports a mistake at a node.
func (r *resolver) wrong(n *spec.Node, suggestion, format string, args ...any) {
	r.bag.Add(diagnostic.Diagnostic{
		Place:      n.Place,
		Path:       n.Path,
		Message:    fmt.Sprintf(format, args...),
		Suggestion: suggestion,
	})
}

// contradicts reports a mistake at a node that takes part in it with another,
// which may be nil.
func (r *resolver) contradicts(n, other *spec.Node, note, suggestion, format string, args ...any) {
	d := diagnostic.Diagnostic{
		Place:      n.Place,
		Path:       n.Path,
		Message:    fmt.Sprintf(format, args...),
		Suggestion: suggestion,
	}
	if other != nil && other != n {
		d.Related = []diagnostic.Related{{Place: other.Place, Message: note}}
	}
	r.bag.Add(d)
}

// named is the Go name of something: the go_name given, or one made from its
// name.
func named(name string, given spec.Value[string]) string {
	if given.Set {
		return given.V
	}
	return goName(name)
}

// byName sorts what has names.
func byName[T any](list []T, name func(T) string) []T {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return list
}

// defaultQueue is there whether declared or not.
const defaultQueue = "default"

func (r *resolver) resolveQueues() {
	for _, q := range r.file.Queues {
		queue := &Queue{
			Name:        q.Name.V,
			GoName:      named(q.Name.V, q.GoName),
			Description: q.Description.V,
			PerWorker:   q.PerWorker.V,
			Total:       q.Total.V,
			RateLimit:   r.rate(q.RateLimit),
			SLO:         r.slo(q.SLO),
			Position:    q.Name.Node.Place.Position,
		}
		r.queues[queue.Name] = queue
		r.out.Queues = append(r.out.Queues, queue)
		r.ids.declare(queueIdentifier(queue.GoName), "queue "+queue.Name, q.Name.Node)
	}
	if r.queues[defaultQueue] == nil {
		queue := &Queue{Name: defaultQueue, GoName: goName(defaultQueue)}
		r.queues[defaultQueue] = queue
		r.out.Queues = append(r.out.Queues, queue)
		r.ids.declare(queueIdentifier(queue.GoName), "queue "+queue.Name, nil)
	}
	byName(r.out.Queues, func(q *Queue) string { return q.Name })
}

func (r *resolver) resolvePolicies() {
	r.queue(r.file.Defaults.Queue)
	for _, p := range r.file.Policies {
		r.policies[p.Name.V] = p.Settings
		r.queue(p.Settings.Queue)
	}
}

// queue looks a queue up, or reports that there is none. It is nil for a value
// that is not set.
func (r *resolver) queue(v spec.Value[string]) *Queue {
	if !v.Set {
		return nil
	}
	queue := r.queues[v.V]
	if queue == nil && !r.file.Rejected["queues."+v.V] {
		suggestion := nearest(r, v.V, r.queues)
		if suggestion == "" {
			suggestion = fmt.Sprintf("declare it: queues: {%s: {}}", v.V)
		}
		r.wrong(v.Node, suggestion, "there is no queue %q", v.V)
	}
	return queue
}

// nearest suggests a name for a misspelt one. Past the bag's limit it saves the
// time.
func nearest[V any](r *resolver, word string, names map[string]V) string {
	if r.bag.Full() {
		return ""
	}
	return diagnostic.DidYouMean(word, keys(names))
}

func keys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for key := range m {
		list = append(list, key)
	}
	return list
}

// rate turns a rate limit into plain data; nil without one.
func (r *resolver) rate(limit spec.RateLimit) *Rate {
	if !limit.Rate.Set {
		if limit.Burst.Set {
			r.wrong(limit.Burst.Node, "add a rate, as in {rate: 100/s, burst: 20}", "a burst without a rate limits nothing")
		}
		return nil
	}
	if limit.Rate.V.Count == 0 {
		return nil // none
	}
	return &Rate{Count: limit.Rate.V.Count, Per: limit.Rate.V.Per, Burst: limit.Burst.V}
}

func (r *resolver) resolveTasks() {
	for _, t := range byName(slices.Clone(r.file.Tasks), func(t *spec.Task) string { return t.Name.V }) {
		task := r.task(t)
		r.tasks[task.Name] = task
		r.taskNodes[task.Name] = t.Name.Node
		r.out.Tasks = append(r.out.Tasks, task)
	}
}

func (r *resolver) task(t *spec.Task) *Task {
	segmentName, _, _ := strings.Cut(t.Name.V, ":")
	segment := r.segments[segmentName]
	if segment == nil {
		segment = &Segment{Name: segmentName, GoName: goName(segmentName)}
		r.segments[segmentName] = segment
		r.out.Segments = append(r.out.Segments, segment)
	}
	task := &Task{
		Name:        t.Name.V,
		GoName:      named(t.Name.V, t.GoName),
		Segment:     segmentName,
		Description: t.Description.V,
		Deprecated:  t.Deprecated.V,
		Position:    t.Name.Node.Place.Position,
	}
	segment.Tasks = append(segment.Tasks, task)
	what := "task " + task.Name
	r.ids.declareAll(taskIdentifiers(task.GoName), what, t.Name.Node)

	r.owned = &segment.Types
	task.Payload = r.body(t.Payload, task.GoName+"Payload", "the payload of "+task.Name)
	if task.Payload == nil {
		task.Payload = &Type{GoName: task.GoName + "Payload", Kind: ObjectType, Position: task.Position}
		r.own(task.Payload)
	}
	task.Result = r.body(t.Result, task.GoName+"Result", "the result of "+task.Name)
	r.owned = nil

	r.applySettings(task, t)
	return task
}

// own lists a type that gets a declaration.
func (r *resolver) own(t *Type) {
	r.out.Types = append(r.out.Types, t)
	if r.owned != nil {
		*r.owned = append(*r.owned, t)
	}
}

func (r *resolver) resolveSegments() {
	for _, s := range r.out.Segments {
		s.Lone = len(s.Tasks) == 1 && s.Tasks[0].Name == s.Name && s.Tasks[0].GoName == s.GoName
		if first := s.Tasks[0]; !s.Lone && first.Name == s.Name && first.GoName == s.GoName {
			r.wrong(r.taskNodes[first.Name], "give the task a go_name",
				"Register%s would register both this task alone and all tasks %s:*", s.GoName, s.Name)
			continue
		}
		last := s.Tasks[len(s.Tasks)-1]
		r.ids.declareAll(segmentIdentifiers(s), fmt.Sprintf("the tasks %s:*", s.Name), r.taskNodes[last.Name])
	}
}
