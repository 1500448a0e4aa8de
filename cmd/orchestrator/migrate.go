package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func (c *cli) migrateCommand() *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "migrate",
		Short: "Create and change the engine's tables",
		Long: `Create and change the engine's tables.

They are in a schema of their own, "orchestrator" unless ORCHESTRATOR_SCHEMA
names another. Any number of processes may migrate at once.`,
		GroupID: groupRun,
	}, c.migrateUp(), c.migrateDown(), c.migrateStatus(), c.migrateSQL())
}

func (c *cli) migrateUp() *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Apply the migrations that are missing",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), c.env("DATABASE_URL"), func(client *orchestrator.Client) error {
				names, err := client.Migrator().Up(cmd.Context())
				return c.printMigrated(names, err, "applied", "nothing to apply: the database is up to date")
			})
		},
	}
}

func (c *cli) migrateDown() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take back the newest migrations, with all their data",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), c.env("DATABASE_URL"), func(client *orchestrator.Client) error {
				question := fmt.Sprintf("This deletes tables of the schema %s and every task in them", client.Schema())
				if err := c.confirm(yes, question); err != nil {
					return err
				}
				names, err := client.Migrator().Down(cmd.Context())
				return c.printMigrated(names, err, "took back", "nothing to take back")
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (c *cli) printMigrated(names []string, err error, did, nothing string) error {
	for _, name := range names {
		fmt.Fprintln(c.stdout, did, name)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintln(c.stdout, nothing)
	}
	return err
}

func (c *cli) migrateStatus() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "List the migrations; fail when one is missing",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), c.env("DATABASE_URL"), func(client *orchestrator.Client) error {
				all, err := client.Migrator().Status(cmd.Context())
				if err != nil {
					return err
				}
				if err := c.printMigrations(all); err != nil {
					return err
				}
				for _, one := range all {
					if one.AppliedAt.IsZero() {
						return errors.New("migrations are missing: run `orchestrator migrate up`")
					}
				}
				return nil
			})
		},
	})
}

func (c *cli) printMigrations(all []migrations.Migration) error {
	list, rows := &jsonList{out: c.stdout}, newTable(c.stdout, "MIGRATION", "APPLIED")
	for _, one := range all {
		one.AppliedAt = one.AppliedAt.UTC()
		if c.json {
			if err := list.add(one); err != nil {
				return err
			}
			continue
		}
		applied := "no"
		if !one.AppliedAt.IsZero() {
			applied = one.AppliedAt.Format(time.DateTime) + " UTC"
		}
		rows.row(one.Name, applied)
	}
	if c.json {
		return list.end()
	}
	rows.flush()
	return nil
}

func (c *cli) migrateSQL() *cobra.Command {
	var down bool
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print all migrations as SQL, for people who run it by hand",
		Long: `Print all migrations as SQL, for people who run it by hand.

It notes them as applied, as "migrate up" does. No database is asked.`,
		Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			schema := c.env("ORCHESTRATOR_SCHEMA")
			if schema == "" {
				schema = migrations.DefaultSchema
			}
			text, err := migrations.SQL(schema, down)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, strings.TrimRight(text, "\n"))
			return err
		},
	}
	cmd.Flags().BoolVar(&down, "down", false, "print the SQL that takes everything back")
	return cmd
}
