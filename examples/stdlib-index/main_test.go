package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// TestMain is the program itself when runMain is set, so that tests run what
// users run, race detector included.
func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(orchestratortest.Main(m))
}

const runMain = "STDLIB_INDEX_RUN_MAIN"

// program is stdlib-index about to run on a database; "" is no DATABASE_URL.
func program(t *testing.T, url string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runMain+"=1", "DATABASE_URL="+url, "LOG_LEVEL=", "WORKER_QUEUES=", "WORKER_POOL_SIZE=")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// TestGoSource indexes $(go env GOROOT)/src and counts it again, with no code of
// the program's. With the race detector, which makes the parser twenty times
// slower, it is a part of the tree, which has files that do not parse as well.
func TestGoSource(t *testing.T) {
	t.Parallel()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	dir := filepath.Join(strings.TrimSpace(string(root)), "src")
	args, atLeast := []string{"--json"}, 7000
	if raceDetector || testing.Short() {
		dir = filepath.Join(dir, "internal")
		args, atLeast = append(args, "--src", dir), 1000
	}
	cmd, stdout, stderr := program(t, orchestratortest.DB(t), args...)
	require.NoError(t, cmd.Run(), "%s", stderr)

	var want counts
	countTree(t, dir, &want)
	require.Greater(t, want.Files, atLeast)
	require.Positive(t, want.Dead)
	require.Equal(t, want, decode(t, stdout))
}

// counts is what --json prints, times aside.
type counts struct {
	Files     int   `json:"files"`
	Succeeded int   `json:"succeeded"`
	Dead      int   `json:"dead"`
	Lines     int64 `json:"lines"`
	Exported  int   `json:"exported"`
	Attempts  int   `json:"attempts"`
}

// decode reads standard output, which must be one JSON object on one line.
func decode(t *testing.T, stdout *bytes.Buffer) counts {
	t.Helper()
	var got struct {
		counts
		Seconds float64 `json:"seconds"`
	}
	require.Equal(t, 1, strings.Count(stdout.String(), "\n"), "%s", stdout)
	decoder := json.NewDecoder(stdout)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&got))
	require.Positive(t, got.Seconds)
	return got.counts
}

// countTree counts what a run over dir should find.
func countTree(t *testing.T, dir string, c *counts) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		switch info, err := os.Lstat(name); {
		case err != nil:
			require.NoError(t, err)
		case info.IsDir():
			countTree(t, name, c)
		case info.Mode().IsRegular() && strings.HasSuffix(name, ".go"):
			c.countFile(t, name)
		}
	}
}

func (c *counts) countFile(t *testing.T, name string) {
	t.Helper()
	c.Files++
	c.Attempts++ // neither good nor bad source is tried twice
	source, err := os.ReadFile(name)
	require.NoError(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.AllErrors)
	if err != nil {
		c.Dead++
		return
	}
	c.Succeeded++
	for _, b := range source {
		if b == '\n' {
			c.Lines++
		}
	}
	ast.FileExports(file) // leaves what is exported
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				c.Exported++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					c.Exported++
				case *ast.ValueSpec:
					c.Exported += len(s.Names)
				}
			}
		}
	}
}

// small is a tree of three good files and one bad one.
func small(t *testing.T) (dir string) {
	t.Helper()
	return tree(t, map[string]string{
		"a/a.go":       "package a\n\nvar A, B int\n",
		"a/more.go":    "package a\n\nfunc F() {}",
		"b/b.go":       "package b\n",
		"b/bad.go":     "no Go\n",
		"b/README.txt": "not counted\n",
	})
}

var countsOfSmall = counts{Files: 4, Succeeded: 3, Dead: 1, Lines: 6, Exported: 3, Attempts: 4}

func TestText(t *testing.T) {
	t.Parallel()
	dir := small(t)
	cmd, stdout, stderr := program(t, orchestratortest.DB(t), "--src", dir)
	require.NoError(t, cmd.Run(), "%s", stderr)
	require.Regexp(t, `(?s)^
          4 files, a task each
          3 succeeded: 6 lines, 3 exported names
          1 dead letters
          4 attempts in \d+\.\d s, [\d,]+ files a second

Most exported names
          3 a
          0 b

Dead letters
            syntax: b/bad\.go:1:1: expected 'package', found no

Checked against the database and the file tree
         ok 4 files in the tree, .*
         ok 6 lines on disk .*
         ok 4 results were waited for, .*
$`, stdout.String())
	require.Equal(t, "enqueued 4 tasks\n 20 %  1 of 4\n 50 %  2 of 4\n 70 %  3 of 4\n100 %  4 of 4\n", stderr.String())
}

func TestJSONWithoutADatabaseIsAllThereIsOnStandardOutput(t *testing.T) {
	t.Parallel()
	cmd, stdout, stderr := program(t, "", "--json", "--src", small(t))
	require.NoError(t, cmd.Run(), "%s", stderr)
	require.Equal(t, countsOfSmall, decode(t, stdout))
	require.Contains(t, stderr.String(), "using a private PostgreSQL")
}

func TestEmptyTree(t *testing.T) {
	t.Parallel()
	cmd, stdout, stderr := program(t, orchestratortest.DB(t), "--json", "--src", t.TempDir())
	require.NoError(t, cmd.Run(), "%s", stderr)
	require.Equal(t, counts{}, decode(t, stdout))
}

// A worker that stores a wrong count, while the program's own works another
// queue, shows that the totals come from the database and are checked.
func TestWrongCountEndsWithStatus1(t *testing.T) {
	t.Parallel()
	dir, url := small(t), orchestratortest.DB(t)
	stop := runWorker(t, url, miscounting{indexer{os.DirFS(dir)}})
	defer stop()

	cmd, stdout, stderr := program(t, url, "--json", "--src", dir)
	cmd.Env = append(cmd.Env, "WORKER_QUEUES=other")
	require.Error(t, cmd.Run())
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", stderr)
	require.Contains(t, stderr.String(), "the counts do not add up:\n  a/a.go: 3 lines on disk, 4 in the database\n")

	want := countsOfSmall
	want.Lines++
	require.Equal(t, want, decode(t, stdout))
}

type miscounting struct{ indexer }

func (m miscounting) HandleSourceIndex(ctx context.Context, t *generated.SourceIndexTask) (generated.SourceIndexResult, error) {
	result, err := m.indexer.HandleSourceIndex(ctx, t)
	if t.Payload.Path == "a/a.go" {
		result.Lines++
	}
	return result, err
}

// runWorker runs a worker of the test's own until stop is called.
func runWorker(t *testing.T, url string, h generated.SourceHandlers) (stop func()) {
	t.Helper()
	client, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	mux := orchestrator.NewMux()
	generated.RegisterSource(mux, h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	worker := orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{Logger: slog.New(slog.DiscardHandler)})
	go func() { ended <- worker.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, client.Close())
	}
}

// An interrupted run leaves its tasks to the next, which counts its own alone.
func TestInterruptAndRunAgain(t *testing.T) {
	t.Parallel()
	dir, url := small(t), orchestratortest.DB(t)
	first, stdout, _ := program(t, url, "--src", dir)
	first.Env = append(first.Env, "WORKER_QUEUES=other") // so that it cannot end
	first.Stderr = nil
	stderr, err := first.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	lines := bufio.NewReader(stderr)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "enqueued 4 tasks\n", line)
	require.NoError(t, first.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Equal(t, "stdlib-index: interrupted before all tasks had finished\n", string(rest))
	require.Error(t, first.Wait())
	require.Equal(t, 130, first.ProcessState.ExitCode())
	require.Empty(t, stdout.String())

	for range 2 {
		again, stdout, stderr := program(t, url, "--json", "--src", dir)
		require.NoError(t, again.Run(), "%s", stderr)
		require.Equal(t, countsOfSmall, decode(t, stdout))
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"--help"}, 0, "-src directory"},
		{[]string{"--jsn"}, 2, "flag provided but not defined: -jsn"},
		{[]string{"surplus"}, 2, "stdlib-index takes no arguments"},
		{[]string{"--src", "/does/not/exist"}, 1, "stdlib-index: walk /does/not/exist: "},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := program(t, orchestratortest.DB(t), c.args...)
			_ = cmd.Run()
			require.Equal(t, c.status, cmd.ProcessState.ExitCode(), "%s", stderr)
			require.Contains(t, stderr.String(), c.stderr)
			require.Empty(t, stdout.String())
		})
	}
}
