package lab

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is a fresh database of the lab's server.
type Database struct {
	lab  *Lab
	name string
	url  string
}

// databasePrefix begins the names of all, so that those of a run that was
// killed are found.
const databasePrefix = "bench_"

var databases atomic.Int64

// Database makes a database that is dropped by its Drop.
func (l *Lab) Database(ctx context.Context) (*Database, error) { return l.create(ctx, "") }

// create makes a database with options of CREATE DATABASE.
func (l *Lab) create(ctx context.Context, options string) (*Database, error) {
	d := &Database{lab: l, name: databasePrefix + strconv.FormatInt(databases.Add(1), 10)}
	u, err := url.Parse(l.server.URL())
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	u.Path = "/" + d.name
	d.url = u.String()
	if err := l.exec(ctx, "CREATE DATABASE "+d.name+options); err != nil {
		return nil, err
	}
	return d, nil
}

// URL is the database's connection string.
func (d *Database) URL() string { return d.url }

// URLWith is URL with a setting of pgxpool or of the session more.
func (d *Database) URLWith(name, value string) string {
	return d.url + "&" + url.QueryEscape(name) + "=" + url.QueryEscape(value)
}

// Drop removes the database, whoever is still connected to it. It is called
// at the end whatever has happened, so it takes no context of the caller's.
func (d *Database) Drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return d.lab.exec(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}

// Connect makes a connection, which the caller closes.
func (d *Database) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return nil, fmt.Errorf("bench: connect to %s: %w", d.name, err)
	}
	return conn, nil
}

// Exec runs a statement.
func (d *Database) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("bench: %s: %w", sql, err)
	}
	return nil
}

// Count runs a query that gives one number.
func (d *Database) Count(ctx context.Context, sql string, args ...any) (n int64, err error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("bench: %s: %w", sql, err)
	}
	return n, nil
}

// Settle brings tables into the state in which every contestant is measured:
// vacuumed and analysed, and nothing left for a checkpoint to write.
func (d *Database) Settle(ctx context.Context, tables ...string) error {
	if len(tables) > 0 {
		if err := d.Exec(ctx, "VACUUM (ANALYZE) "+strings.Join(tables, ", ")); err != nil {
			return err
		}
	}
	return d.Exec(ctx, "CHECKPOINT")
}

// exec runs a statement on the server's own database.
func (l *Lab) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, l.server.URL())
	if err != nil {
		return fmt.Errorf("bench: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("bench: %s: %w", sql, err)
	}
	return nil
}

// dropDatabases drops what a run left that was killed.
func (l *Lab) dropDatabases(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, l.server.URL())
	if err != nil {
		return fmt.Errorf("bench: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", databasePrefix)
	if err != nil {
		return fmt.Errorf("bench: list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("bench: list databases: %w", err)
	}
	for _, name := range names {
		if _, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("bench: drop %s: %w", name, err)
		}
	}
	return nil
}
