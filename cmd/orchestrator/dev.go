package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// devDatabase is the database that programs under `dev` get.
const devDatabase = "app"

func (c *cli) devCommand() *cobra.Command {
	var ephemeral bool
	cmd := &cobra.Command{
		Use:   "dev [-- COMMAND [ARG...]]",
		Short: "Run a command on a private, migrated PostgreSQL",
		Long: `Run a command on a private, migrated PostgreSQL.

Starts the project's own PostgreSQL, migrates it, sets DATABASE_URL and runs the
command; ends with its exit status. Signals go to the command. Without a command
the server stays up until Ctrl-C, and its URL is printed on standard output.

The data are kept for the next time, one database a project (the directory with
go.mod). Commands that run at the same time share the server.`,
		Example: `  orchestrator dev -- go run .
  orchestrator dev -- orchestrator status
  orchestrator dev -- sh -c 'psql "$DATABASE_URL"'`,
		GroupID: groupRun,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("put -- before the command: orchestrator dev -- %s", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.dev(cmd.Context(), ephemeral, args)
		},
	}
	cmd.Flags().BoolVar(&ephemeral, "ephemeral", false, "a server of its own, whose data are gone at the end")
	return cmd
}

func (c *cli) dev(ctx context.Context, ephemeral bool, command []string) (err error) {
	project, err := projectDir()
	if err != nil {
		return err
	}
	config := devpg.Config{Mode: devpg.Persistent, Project: project, Database: devDatabase, Log: c.stderr}
	if ephemeral {
		config.Mode = devpg.Ephemeral
	}
	server, err := devpg.Start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	applied, err := c.migrateDev(ctx, server.URL())
	if err != nil {
		return err
	}
	c.reportDev(server, applied)
	if len(command) == 0 {
		fmt.Fprintln(c.stdout, server.URL())
		fmt.Fprintln(c.stderr, "Ctrl-C ends it.")
		<-ctx.Done()
		return nil
	}
	return c.runChild(command, append(without(c.environ, "DATABASE_URL"), "DATABASE_URL="+server.URL()))
}

func (c *cli) migrateDev(ctx context.Context, url string) (applied []string, err error) {
	err = c.withDatabase(ctx, url, func(client *orchestrator.Client) error {
		applied, err = client.Migrator().Up(ctx)
		return err
	})
	return applied, err
}

func (c *cli) reportDev(server *devpg.Server, applied []string) {
	if !server.Attached() { // else devpg has said so
		fmt.Fprintf(c.stderr, "PostgreSQL %s is ready\n", server.Binaries().Version)
	}
	if len(applied) > 0 {
		fmt.Fprintln(c.stderr, plural(len(applied), "migration"), "applied")
	}
	if c.env("DATABASE_URL") != "" {
		fmt.Fprintln(c.stderr, "DATABASE_URL was set; the command gets the private server's instead")
	}
}

// projectDir is the directory of the module around the working directory, so
// that its subdirectories share a database; or the working directory itself.
func projectDir() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return here, nil
		}
	}
}

// without leaves an environment variable out.
func without(environ []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool { return strings.HasPrefix(variable, name+"=") })
}

// childStatus is the exit status of a command that `dev` ran.
type childStatus int

func (s childStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// runChild runs a command to its end, which a cancelled context does not
// hasten: signals are the command's to act on.
func (c *cli) runChild(command, environ []string) error {
	child := exec.Command(command[0], command[1:]...)
	child.Env = environ
	child.Stdin, child.Stdout, child.Stderr = c.stdin, c.stdout, c.stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	group := newChildGroup(child, c.interactive)
	if err := child.Start(); err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	ended := make(chan error, 1)
	go func() {
		err := child.Wait()
		group.wait()
		ended <- err
	}()
	for {
		select {
		case s := <-signals:
			group.forward(s)
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return childStatus(statusOf(exit.ProcessState))
			}
			return err
		}
	}
}
