package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// Parse reads the spec file root and the files it includes from fsys. Mistakes
// go to bag; the tree holds whatever could be read. It is nil when a file
// could not be read at all or is not valid YAML: then there is nothing to say
// about the rest.
//
// Positions name files by their path in fsys.
func Parse(fsys fs.FS, root string, bag *diagnostic.Bag) *File {
	p := parser{
		fsys:   fsys,
		folder: path.Dir(root),
		bag:    bag,
		file:   &File{Defaults: &Settings{}, Rejected: make(map[string]bool)},
		read:   make(map[string]bool),
		first:  make(map[string]*Node),
	}
	tree := p.load(root)
	if tree == nil {
		return nil
	}
	broken := false
	included := p.include(tree, &broken)
	if broken {
		return nil
	}
	p.rootFile(tree)
	for _, n := range included {
		p.includedFile(n)
	}
	return p.file
}

// parser holds the state of one Parse.
type parser struct {
	fsys   fs.FS
	folder string // of the root file; includes are relative to it
	bag    *diagnostic.Bag
	file   *File
	read   map[string]bool // files read, by path in fsys
	// first holds, by path, the first declaration of each name, so that a
	// second one in another file can point to it.
	first map[string]*Node
}

// load reads one file; nil when there is no tree to go on with.
func (p *parser) load(name string) *Node {
	p.read[name] = true
	p.bag.File(name)
	content, err := fs.ReadFile(p.fsys, name)
	if err != nil {
		d := diagnostic.Diagnostic{
			Place:   diagnostic.Place{Position: diagnostic.Position{File: name, Line: 1, Column: 1}},
			Message: fmt.Sprintf("cannot read the file: %v", err),
		}
		if errors.Is(err, fs.ErrNotExist) {
			// In words of our own, which are the same on every system.
			d.Message, d.Suggestion = "there is no such file", "`orchestrator init` writes a first one"
		}
		p.bag.Add(d)
		return nil
	}
	tree := decode(newSource(name, content), content, p.bag)
	if tree != nil {
		p.file.Names = append(p.file.Names, relative(p.folder, name))
		p.file.Documents = append(p.file.Documents, tree)
	}
	return tree
}

func relative(folder, name string) string {
	if folder == "." {
		return name
	}
	return strings.TrimPrefix(name, folder+"/")
}

// include reads the files the root asks for, sorted by name within a pattern.
func (p *parser) include(root *Node, broken *bool) []*Node {
	list := root.child("include")
	if list == nil || list.Kind == Invalid || list.IsNull() {
		return nil
	}
	r := &reader{bag: p.bag}
	if list.Kind != Sequence {
		suggestion := ""
		if list.Kind == Scalar {
			suggestion = fmt.Sprintf("write include: [%s]", list.Text)
		}
		r.wrong(list, suggestion, "a list of file patterns is expected here, not %s", describe(list))
		return nil
	}
	var trees []*Node
	for _, item := range list.Items {
		pattern, ok := r.scalar(item, "a file pattern")
		if !ok {
			continue
		}
		names := p.glob(r, item, pattern)
		for _, name := range names {
			if p.read[name] {
				continue // the root itself, or matched twice
			}
			if len(p.read) >= maxFiles {
				r.wrong(item, "", "more than %d files", maxFiles)
				return trees
			}
			tree := p.load(name)
			if tree == nil {
				*broken = true
				continue
			}
			trees = append(trees, tree)
		}
	}
	return trees
}

func (p *parser) glob(r *reader, item *Node, pattern string) []string {
	switch {
	case strings.Contains(pattern, "\\"):
		r.wrong(item, "write slashes on every system", "a pattern with a backslash")
		return nil
	case strings.Contains(pattern, "**"):
		r.wrong(item, "write one pattern a folder, as in tasks/*.yaml", "** is not supported")
		return nil
	case path.IsAbs(pattern) || slices.Contains(strings.Split(pattern, "/"), ".."):
		r.wrong(item, "", "included files are in the folder of the root file or below it")
		return nil
	}
	names, err := fs.Glob(p.fsys, path.Join(p.folder, pattern))
	if err != nil {
		r.wrong(item, "", "%q is not a file pattern: %v", shorten(pattern), err)
		return nil
	}
	if len(names) == 0 && !strings.ContainsAny(pattern, "*?[") {
		// A pattern may match nothing yet; a name was meant.
		r.wrong(item, "", "there is no file %q", shorten(pattern))
	}
	slices.Sort(names)
	return names
}

// child is the value under a key of a mapping; nil when there is none.
func (n *Node) child(key string) *Node {
	for _, pair := range n.Pairs {
		if pair.Key.Text == key {
			return pair.Value
		}
	}
	return nil
}

// rootFile reads the root. `include` was followed already.
func (p *parser) rootFile(n *Node) {
	r := &reader{bag: p.bag}
	version := false
	entries := []entry{
		{"version", func(_, v *Node) { version = true; r.version(v) }},
		{"package", func(_, v *Node) { p.file.Package = r.packageName(v) }},
		{"include", func(_, _ *Node) {}},
		{"defaults", func(_, v *Node) { p.file.Defaults = r.defaults(v) }},
	}
	r.mapping(n, nil, append(entries, p.shared(r)...))
	if n.Kind != Mapping {
		return
	}
	if !version {
		p.missing(n, "version", "write `version: 1`")
	}
	if n.child("package") == nil {
		p.missing(n, "package", "write the name of the generated Go package, as in `package: tasks`")
	}
}

// missing reports a key the root must have, at the top of the file.
func (p *parser) missing(n *Node, key, suggestion string) {
	p.bag.Add(diagnostic.Diagnostic{
		Place:      n.Place,
		Path:       key,
		Message:    fmt.Sprintf("%q is missing", key),
		Suggestion: suggestion,
	})
}

// includedFile reads a file that adds to the root's one namespace.
func (p *parser) includedFile(n *Node) {
	r := &reader{bag: p.bag}
	hints := map[string]string{
		"package":  "it belongs in the root file alone",
		"include":  "it belongs in the root file alone",
		"defaults": "it belongs in the root file alone",
	}
	entries := []entry{{"version", func(_, v *Node) { r.version(v) }}}
	r.mapping(n, hints, append(entries, p.shared(r)...))
}

// shared are the sections that any file may have.
func (p *parser) shared(r *reader) []entry {
	return []entry{
		{"policies", func(_, v *Node) { p.section(r, v, p.policy) }},
		{"queues", func(_, v *Node) { p.section(r, v, p.queue) }},
		{"types", func(_, v *Node) { p.section(r, v, p.typ) }},
		{"tasks", func(_, v *Node) { p.section(r, v, p.task) }},
		{"schedules", func(_, v *Node) { p.section(r, v, p.schedule) }},
	}
}

// section reads the named entries of a section and reports names that another
// file has declared already.
func (p *parser) section(r *reader, n *Node, read func(r *reader, key, value *Node)) {
	switch {
	case n.Kind == Invalid || n.IsNull():
		return
	case n.Kind != Mapping:
		r.wrong(n, "write one `name: ...` a line", "a mapping is expected here, not %s", describe(n))
		return
	}
	for _, pair := range n.Pairs {
		if first, again := p.first[pair.Key.Path]; again {
			p.bag.Add(diagnostic.Diagnostic{
				Place:   pair.Key.Place,
				Path:    pair.Key.Path,
				Message: fmt.Sprintf("%q is already declared", pair.Key.Text),
				Related: []diagnostic.Related{{Place: first.Place, Message: "the first one is here"}},
			})
			continue
		}
		p.first[pair.Key.Path] = pair.Key
		read(r, pair.Key, pair.Value)
	}
}

func (r *reader) version(n *Node) {
	text, ok := r.scalar(n, "1")
	if ok && text != "1" {
		r.wrong(n, "write `version: 1`", "version %q of the spec language is not known here", shorten(text))
	}
}
