// Stdlib-index indexes the Go source tree that every reader of it has: one task
// for each .go file of the standard library. It shows the whole road from
// tasks.yaml to a finished task on real input.
//
//   - job.go enqueues thousands of typed tasks in bulk and waits for all their
//     results;
//   - handler.go is the handler, a plain method with a test that needs no
//     database;
//   - files that Go's parser rejects (the tree has some, for its own tests) fail
//     with the code "syntax" and end as dead letters: real failures on real
//     input;
//   - check.go then proves by the database and by the file tree that every file
//     was accounted for once, none lost, none twice.
//
// Run it from the repository's root:
//
//	make demo
//	go run ./examples/stdlib-index            # the same on $DATABASE_URL, or on a private PostgreSQL
//	go run ./examples/stdlib-index --json     # one JSON object on standard output, nothing else
//	go run ./examples/stdlib-index --src DIR  # another tree
//
// It prints totals, the ten packages with the most exported names, the first of
// the dead letters with their reasons, the throughput, and what was checked.
//
// The exit status is 0 when all counts add up, 1 when one does not or something
// failed, 2 for wrong usage and 130 when it was interrupted. Failed tasks are
// no failure of the run: they are accounted for like all others.
//
// The database may be in use. Tasks carry the run's id in their metadata, so
// that what an earlier run left is not counted in this one: finished tasks stay
// as they are, and those that an interrupted run left waiting are worked, too.
// Two runs at a time share their tasks between them, so give them the same tree.
//
// Settings come from the environment, see .env.example. The log is kept short
// for the progress bar's sake; LOG_LEVEL=info shows all of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2) // what is wrong has been printed
	}
	err = run(ctx, o, os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "stdlib-index: interrupted before all tasks had finished")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "stdlib-index:", err)
		os.Exit(1)
	}
}

type options struct {
	json bool
	dir  string // "" is $(go env GOROOT)/src
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("stdlib-index", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.json, "json", false, "print one JSON object on standard output")
	flags.StringVar(&o.dir, "src", "", "the `directory` to index (default $(go env GOROOT)/src)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		err = errors.New("stdlib-index takes no arguments; see --help")
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

// run indexes the tree and reports. It returns an error as well when a count
// does not add up.
func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = goSource(ctx); err != nil {
			return err
		}
	}
	url, stopDatabase, err := database(ctx, stderr)
	if err != nil {
		return err
	}
	defer stopDatabase()
	client, err := open(ctx, url, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	job, err := newJob(client, o.dir, stderr)
	if err != nil {
		return err
	}
	if err := job.run(ctx); err != nil {
		return err
	}
	rows, err := job.rows(ctx)
	if err != nil {
		return err
	}
	findings := check(o.dir, job.outcomes, rows)
	report := newReport(job, rows)
	if o.json {
		err = report.writeJSON(stdout)
	} else {
		err = report.writeText(stdout, findings)
	}
	return errors.Join(err, errOf(findings))
}

// goSource is the source tree of the Go installation that go names.
func goSource(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the Go source tree (name another with --src): go env GOROOT: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src"), nil
}
