package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// cli is one run of the program and what it may touch of the world.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ gives it
	interactive    bool     // somebody sits at stdin and may be asked

	json    bool // --json
	started bool // arguments were fine and a command has begun
}

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitSignal  = 130 // Ctrl-C, as shells have it
)

// errReported ends a run with exitFailure when all has been said.
var errReported = errors.New("reported")

// run runs one command line and returns the exit status.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	command, err := root.ExecuteContextC(ctx)
	var child childStatus
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &child):
		return int(child)
	case errors.Is(err, errReported):
		return exitFailure
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitSignal
	case !c.started:
		fmt.Fprintf(c.stderr, "orchestrator: %v\nRun '%s --help' for usage.\n", err, command.CommandPath())
		return exitUsage
	}
	c.reportError(err)
	return exitFailure
}

// reportError prints an error, and what breaks a payload's schema as a list.
func (c *cli) reportError(err error) {
	var invalid *orchestrator.ValidationError
	if !errors.As(err, &invalid) {
		// The library's errors say whose they are, wrapped ones again.
		text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "orchestrator: "), ": orchestrator: ", ": ")
		fmt.Fprintln(c.stderr, "orchestrator: "+text)
		return
	}
	what, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "orchestrator: "), ": "+invalid.Error())
	fmt.Fprintf(c.stderr, "orchestrator: %s: the %s is not valid\n", what, invalid.Subject)
	rows := newTable(c.stderr)
	for _, v := range invalid.Violations {
		pointer := v.Pointer
		if pointer == "" {
			pointer = "(all of it)"
		}
		rows.row("  "+pointer, v.Message)
	}
	rows.flush()
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "orchestrator",
		Short: "Typed background tasks on your own PostgreSQL",
		Long: `Typed background tasks on your own PostgreSQL.

Commands that need the database take its URL from DATABASE_URL.
ORCHESTRATOR_SCHEMA names another schema than "orchestrator".`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			c.started = true
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: groupBuild, Title: "Write tasks:"},
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupLook, Title: "Look and mend:"},
	)
	root.AddCommand(
		c.initCommand(), c.generateCommand(), c.validateCommand(), c.explainCommand(),
		c.devCommand(), c.migrateCommand(), c.enqueueCommand(), c.benchCommand(),
		c.statusCommand(), c.tasksCommand(), c.deadCommand(),
		c.queuesCommand(), c.typesCommand(), c.policyCommand(), c.schedulesCommand(),
		c.versionCommand(),
	)
	return root
}

const (
	groupBuild = "build"
	groupRun   = "run"
	groupLook  = "look"
)

// subcommands makes a command that only groups others: alone it prints help,
// and an unknown word after it is an error.
func subcommands(parent *cobra.Command, children ...*cobra.Command) *cobra.Command {
	parent.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	parent.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	parent.AddCommand(children...)
	return parent
}

// arguments wants one argument a name.
func arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("missing %s", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// jsonFlag adds --json to a command.
func (c *cli) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// env is the value of an environment variable, "" when it is not set.
func (c *cli) env(name string) string {
	for i := len(c.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(c.environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
