package generate

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/golang"
	"github.com/task-orchestrator/task-orchestrator/generate/monitoring"
)

// Changes is the difference between a directory and a generated package.
type Changes struct {
	dir       string
	changes   []change // sorted by name; stale files have no new content
	unchanged int
}

// change is one file that is not as it should be.
type change struct {
	name     string
	old, new []byte // nil: not there
	mode     fs.FileMode
}

// Compare reads the directory, which need not exist. It is an error when a
// file that was not generated stands where one should be, or when the
// directory holds a Go package of another name.
func Compare(dir string, p *Package) (*Changes, error) {
	c := &Changes{dir: dir}
	existing, err := readFiles(dir, func(name string) bool { return strings.HasSuffix(name, ".go") })
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(existing)) {
		if f := existing[name]; !f.generated() {
			if err := c.checkForeign(name, f, p); err != nil {
				return nil, err
			}
		}
	}
	names := maps.Clone(p.Files)
	for name, f := range existing {
		if _, wanted := names[name]; !wanted && f.generated() {
			names[name] = nil
		}
	}
	c.compare(existing, names)
	return c, nil
}

// CompareMonitoring is [Compare] for the files that watch the tasks. Their
// directory may hold anything else.
func CompareMonitoring(dir string, p *Package) (*Changes, error) {
	c := &Changes{dir: dir}
	existing, err := readFiles(dir, func(name string) bool { return p.Monitoring[name] != nil })
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(existing)) {
		if !monitoring.Generated(existing[name].content) {
			return nil, fmt.Errorf("generate: %s would be overwritten, but does not say that it was generated: move it", filepath.Join(dir, name))
		}
	}
	c.compare(existing, p.Monitoring)
	return c, nil
}

// compare lists what makes the existing files those that are wanted; a wanted
// file without content is to go.
func (c *Changes) compare(existing map[string]file, wanted map[string][]byte) {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		was, there := existing[name]
		if there && wanted[name] != nil && bytes.Equal(was.content, wanted[name]) {
			c.unchanged++
			continue
		}
		mode := fs.FileMode(0o644)
		if there {
			mode = was.mode
		}
		c.changes = append(c.changes, change{name: name, old: was.content, new: wanted[name], mode: mode})
	}
}

// checkForeign refuses to generate over or beside a file of the user's that
// the package could not be built with.
func (c *Changes) checkForeign(name string, f file, p *Package) error {
	path := filepath.Join(c.dir, name)
	if _, wanted := p.Files[name]; wanted {
		return fmt.Errorf("generate: %s would be overwritten, but its first line does not say that it was generated: move it", path)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), path, f.content, parser.PackageClauseOnly)
	if err != nil {
		return nil // the compiler will say it better
	}
	found := strings.TrimSuffix(parsed.Name.Name, "_test")
	if found != p.Name && !ignored(name, f.content) {
		return fmt.Errorf("generate: %s is of package %s, and the spec says package: %s", path, parsed.Name.Name, p.Name)
	}
	return nil
}

// ignored tells whether the go command leaves a file out whatever the platform.
func ignored(name string, content []byte) bool {
	return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || bytes.Contains(content, []byte("//go:build ignore\n"))
}

// Diff is the changes as a unified diff, "" when there are none.
func (c *Changes) Diff() string {
	var b strings.Builder
	for _, ch := range c.changes {
		path := filepath.ToSlash(filepath.Join(c.dir, ch.name))
		before, after := path, path
		if ch.old == nil {
			before = "/dev/null"
		}
		if ch.new == nil {
			after = "/dev/null"
		}
		b.WriteString(unifiedDiff(before, after, string(ch.old), string(ch.new)))
	}
	return b.String()
}

func (c *Changes) report() *Report {
	r := &Report{Out: c.dir, Unchanged: c.unchanged}
	for _, ch := range c.changes {
		if ch.new == nil {
			r.Removed = append(r.Removed, ch.name)
		} else {
			r.Written = append(r.Written, ch.name)
		}
	}
	return r
}

type file struct {
	content []byte
	mode    fs.FileMode
}

// generated tells our own Go files by their first line.
func (f file) generated() bool {
	line, _, _ := bytes.Cut(f.content, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	return bytes.HasPrefix(line, []byte(golang.HeaderPrefix)) && bytes.HasSuffix(line, []byte(" DO NOT EDIT."))
}

// readFiles reads the files of a directory whose names are of interest.
func readFiles(dir string, interest func(name string) bool) (map[string]file, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := map[string]file{}
	for _, entry := range entries {
		if entry.IsDir() || !interest(entry.Name()) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[entry.Name()] = file{content, info.Mode().Perm()}
	}
	return files, nil
}
