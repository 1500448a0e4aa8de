package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/cases"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/contest"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/report"
)

//go:generate go run -C ../.. ./cmd/orchestrator generate --spec tests/bench/tasks.yaml --out tests/bench/tasks

func main() {
	if len(os.Args) == 4 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2], os.Args[3]))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is this program as the process of a contestant.
func child(contestant, job string) int {
	return lab.RunChild(contest.Jobs(contestant), job)
}

// options are the command line.
type options struct {
	cases, peers string
	rounds       int
	scale        float64
	soak         time.Duration
	out          string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.cases, "cases", "", "cases to run, comma-separated; empty is all but those on request: "+strings.Join(caseNames(), ", "))
	flags.StringVar(&o.peers, "peers", "", "contestants to run, comma-separated; empty is all that are present")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each contestant runs")
	flags.Float64Var(&o.scale, "scale", 1, "multiplies numbers of tasks and durations, for trying out")
	flags.DurationVar(&o.soak, "soak", 0, "also run the case soak, for so long")
	flags.StringVar(&o.out, "out", "", "file for the report; empty is standard output")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("bench: %q: want flags alone", flags.Arg(0))
	}
	if o.rounds < 1 || o.scale <= 0 || o.soak < 0 {
		return o, fmt.Errorf("bench: --rounds %d --scale %g --soak %s: want at least one round, a scale above 0 and no negative duration", o.rounds, o.scale, o.soak)
	}
	return o, nil
}

func caseNames() (names []string) {
	for _, c := range cases.All() {
		names = append(names, c.Name)
	}
	return names
}

// chosen are the cases named, or all but those on request.
func chosen(names string) (all []lab.Case, err error) {
	if names == "" {
		return slices.DeleteFunc(cases.All(), func(c lab.Case) bool { return c.OnRequest }), nil
	}
	byName := map[string]lab.Case{}
	for _, c := range cases.All() {
		byName[c.Name] = c
	}
	for name := range strings.SplitSeq(names, ",") {
		c, known := byName[name]
		if !known {
			return nil, fmt.Errorf("bench: --cases %s: no such case; there are %s", name, strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
		}
		all = append(all, c)
	}
	return all, nil
}

// peers tells of a contestant whether it was asked for.
func peers(names string, in []lab.Case) (wanted func(string) bool, err error) {
	if names == "" {
		return func(string) bool { return true }, nil
	}
	var known []string
	for _, c := range in {
		known = append(known, c.Contestants...)
	}
	asked := strings.Split(names, ",")
	for _, name := range asked {
		if !slices.Contains(known, name) {
			slices.Sort(known)
			return nil, fmt.Errorf("bench: --peers %s: no such contestant; there are %s", name, strings.Join(slices.Compact(known), ", "))
		}
	}
	return func(name string) bool { return slices.Contains(asked, name) }, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	all, err := chosen(o.cases)
	if err != nil {
		return err
	}
	wanted, err := peers(o.peers, all)
	if err != nil {
		return err
	}
	if named := func(c lab.Case) bool { return c.Name == cases.Soak }; o.soak > 0 && !slices.ContainsFunc(all, named) {
		i := slices.IndexFunc(cases.All(), named)
		all = append(all, cases.All()[i])
	}
	l, err := lab.Open(ctx, lab.Config{Scale: o.scale, Soak: o.soak, Log: stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()

	r := report.Report{Facts: l.Facts(ctx), Rounds: o.rounds, Scale: o.scale}
	for _, c := range contest.All() {
		r.Contestants = append(r.Contestants, lab.Fact{Name: c.Name, Value: c.About(ctx)})
	}
	// Written after every case: a run takes long, and may be broken off.
	return errors.Join(
		l.RunAll(ctx, all, o.rounds, wanted, func(outcome lab.Outcome) error {
			r.Outcomes = append(r.Outcomes, outcome)
			return save(r, o.out)
		}),
		printed(r, o.out, stdout),
	)
}

// save writes the report to the file, if there is to be one.
func save(r report.Report, path string) error {
	if path == "" {
		return nil
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// printed writes the report to stdout, if there is no file.
func printed(r report.Report, path string, stdout io.Writer) error {
	if path != "" {
		return nil
	}
	return r.Write(stdout)
}
