package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// finding is one comparison of counts that must agree.
type finding struct {
	what     string // as it should be
	problems []string
}

func (f *finding) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// check compares three accounts of a run, none of which is made from another:
// the results that were waited for, the rows in the database, and the tree on
// the disk, walked and counted anew.
func check(dir string, outcomes []outcome, rows []row) []finding {
	files, err := filesOnDisk(dir)
	if err != nil {
		return []finding{{what: "the file tree can be read", problems: []string{err.Error()}}}
	}
	return []finding{
		everyFileOnce(files, rows),
		sameLines(dir, rows),
		sameOutcomes(outcomes, rows),
	}
}

// errOf lists the first problems of all findings; nil when there are none.
func errOf(findings []finding) error {
	const shown = 10
	var all []string
	for _, f := range findings {
		all = append(all, f.problems...)
	}
	switch n := len(all); {
	case n == 0:
		return nil
	case n > shown:
		all = append(all[:shown], fmt.Sprintf("and %d more", n-shown))
	}
	return errors.New("the counts do not add up:\n  " + strings.Join(all, "\n  "))
}

// everyFileOnce finds files that were lost or done twice, and tasks that have
// not ended or have no file.
func everyFileOnce(files []string, rows []row) finding {
	f := finding{what: fmt.Sprintf("%s files in the tree, each the task of one finished or dead row in the database", thousands(len(files)))}
	tasks := make(map[string]int, len(rows))
	for _, r := range rows {
		tasks[r.Path]++
		if r.State != orchestrator.Succeeded && r.State != orchestrator.Dead {
			f.problem("%s: its task is %s", r.Path, r.State)
		}
	}
	for _, path := range files {
		if n := tasks[path]; n != 1 {
			f.problem("%s: want one task in the database, found %d", path, n)
		}
		delete(tasks, path)
	}
	for path := range tasks {
		f.problem("%s: a task in the database, but no file", path)
	}
	return f
}

// sameLines counts the lines of the files that succeeded straight from disk.
func sameLines(dir string, rows []row) finding {
	var f finding
	var total int64
	for _, r := range rows {
		if r.State != orchestrator.Succeeded {
			continue
		}
		lines, err := linesOnDisk(filepath.Join(dir, filepath.FromSlash(r.Path)))
		if err != nil {
			f.problem("%v", err)
		} else if lines != r.Lines {
			f.problem("%s: %d lines on disk, %d in the database", r.Path, lines, r.Lines)
		}
		total += lines
	}
	f.what = fmt.Sprintf("%s lines on disk in the files that succeeded, each file's as many as in its stored result", thousands(total))
	return f
}

// sameOutcomes compares what the handles gave with the rows.
func sameOutcomes(outcomes []outcome, rows []row) finding {
	f := finding{what: fmt.Sprintf("%s results were waited for, each as the database has it", thousands(len(outcomes)))}
	stored := make(map[string]row, len(rows))
	for _, r := range rows {
		stored[r.Path] = r
	}
	for _, o := range outcomes {
		r := stored[o.payload.Path]
		if o.state() != r.State || o.result.Lines != r.Lines || o.result.Exported != r.Exported {
			f.problem("%s: the handle says %s, %d lines, %d exported; the database %s, %d, %d", o.payload.Path,
				o.state(), o.result.Lines, o.result.Exported, r.State, r.Lines, r.Exported)
		}
	}
	return f
}

// filesOnDisk does what `find -type f -name '*.go'` does.
func filesOnDisk(dir string) (paths []string, err error) {
	dir, err = filepath.EvalSymlinks(dir) // dir alone may be one
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || !entry.Type().IsRegular() {
			return err
		}
		path, err = filepath.Rel(dir, path)
		paths = append(paths, filepath.ToSlash(path))
		return err
	})
	return paths, err
}

// linesOnDisk does what `wc -l` does.
func linesOnDisk(path string) (lines int64, err error) {
	content, err := os.ReadFile(path)
	for _, b := range content {
		if b == '\n' {
			lines++
		}
	}
	return lines, err
}
