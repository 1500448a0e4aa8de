package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.go": "package a\n", "b/b.go": "package b\n\n", "b/bad.go": "?"})
	outcomes := []outcome{
		{payload: payload("a.go"), result: generated.SourceIndexResult{Lines: 1}},
		{payload: payload("b/b.go"), result: generated.SourceIndexResult{Lines: 2}},
		{payload: payload("b/bad.go"), dead: &orchestrator.TaskError{State: orchestrator.Dead}},
	}
	rows := []row{
		{Path: "a.go", State: orchestrator.Succeeded, Lines: 1},
		{Path: "b/b.go", State: orchestrator.Succeeded, Lines: 2},
		{Path: "b/bad.go", State: orchestrator.Dead},
	}
	with := func(changed ...row) []row { return append(rows[:2:2], changed...) }

	for name, c := range map[string]struct {
		rows []row
		want string // "" for a run that adds up
	}{
		"all is well":     {rows, ""},
		"lost":            {with(), "b/bad.go: want one task in the database, found 0"},
		"twice":           {with(rows[2], rows[2]), "b/bad.go: want one task in the database, found 2"},
		"unknown file":    {with(rows[2], row{Path: "c.go", State: orchestrator.Dead}), "c.go: a task in the database, but no file"},
		"unfinished":      {with(row{Path: "b/bad.go", State: orchestrator.Running}), "b/bad.go: its task is running"},
		"lines":           {with(row{Path: "b/bad.go", State: orchestrator.Succeeded, Lines: 1}), "b/bad.go: 0 lines on disk, 1 in the database"},
		"handle differs":  {with(row{Path: "b/bad.go", State: orchestrator.Succeeded}), "b/bad.go: the handle says dead, 0 lines, 0 exported; the database succeeded, 0, 0"},
		"no file to read": {with(rows[2], row{Path: "c.go", State: orchestrator.Succeeded}), "c.go: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := errOf(check(dir, outcomes, c.rows))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestErrorShowsTheFirstProblems(t *testing.T) {
	t.Parallel()
	var f finding
	for i := range 12 {
		f.problem("problem %d", i)
	}
	lines := strings.Split(errOf([]finding{f}).Error(), "\n")
	require.Len(t, lines, 12)
	require.Equal(t, "  problem 9", lines[10])
	require.Equal(t, "  and 2 more", lines[11])
}

func TestOnlyRegularFilesCount(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.go": "", "a.gox": "", ".go": "", "x.go/y.go": "", "x.go/z.txt": ""})
	require.NoError(t, os.Symlink("a.go", filepath.Join(dir, "link.go")))
	require.NoError(t, os.Symlink("x.go", filepath.Join(dir, "linked")))
	want := []string{".go", "a.go", "x.go/y.go"}

	onDisk, err := filesOnDisk(dir)
	require.NoError(t, err)
	require.Equal(t, want, onDisk)
	enqueued, err := goFiles(os.DirFS(dir))
	require.NoError(t, err)
	require.Equal(t, want, []string{enqueued[0].Path, enqueued[1].Path, enqueued[2].Path})
	require.Len(t, enqueued, 3)

	link := filepath.Join(t.TempDir(), "src") // as some distributions install it
	require.NoError(t, os.Symlink(dir, link))
	onDisk, err = filesOnDisk(link)
	require.NoError(t, err)
	require.Equal(t, want, onDisk)
	enqueued, err = goFiles(os.DirFS(link))
	require.NoError(t, err)
	require.Len(t, enqueued, 3)
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, thousands(n), fmt.Sprint(n))
	}
}

func payload(path string) generated.SourceIndexPayload {
	return generated.SourceIndexPayload{Path: path, Package: filepath.Dir(path)}
}

// tree writes files into a directory of the test's.
func tree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}
