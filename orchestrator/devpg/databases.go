package devpg

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// databases are the templates and clones of one Server. Their names carry the
// Server's run, a random number that is also the key of an advisory lock held
// as long as the Server lives: on a server that others use too, that is how
// databases left by a dead process are told from those in use.
//
//	devpg_<run>_t<n>_<name>    a template
//	devpg_<run>_c<n>           a clone
type databases struct {
	base  string // URL of the database that admin is connected to
	admin *pgxpool.Pool
	run   string // 16 hexadecimal digits
	key   int64  // the same as a number
	life  *pgx.Conn
	fresh bool // the server is new enough for STRATEGY file_copy
	count atomic.Int64

	mu        sync.Mutex
	templates map[string]*Template
}

const databasePrefix = "devpg_"

// dropBound limits clean-up that no caller's context covers.
const dropBound = 30 * time.Second

func newDatabases(ctx context.Context, base string, admin *pgxpool.Pool) (_ *databases, err error) {
	d := &databases{base: base, admin: admin, templates: map[string]*Template{}}
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails
	d.run, d.key = hex.EncodeToString(run[:]), int64(binary.BigEndian.Uint64(run[:]))

	defer func() {
		if err != nil && d.life != nil {
			_ = d.life.Close(context.WithoutCancel(ctx))
		}
	}()
	if err := d.hold(ctx); err != nil {
		return nil, err
	}
	var version int
	if err := d.life.QueryRow(ctx, "SELECT current_setting('server_version_num')::int4").Scan(&version); err != nil {
		return nil, fmt.Errorf("devpg: %w", err)
	}
	d.fresh = version >= 150000
	return d, d.sweep(ctx)
}

// hold takes the advisory lock that marks the run's databases as in use, on a
// connection of its own. A restart of the server ends both: they are taken
// again.
func (d *databases) hold(ctx context.Context) error {
	if d.life != nil {
		_ = d.life.Close(ctx)
	}
	var err error
	if d.life, err = pgx.ConnectConfig(ctx, d.admin.Config().ConnConfig); err != nil {
		return fmt.Errorf("devpg: connect: %w", err)
	}
	if _, err := d.life.Exec(ctx, "SELECT pg_advisory_lock($1)", d.key); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}

// held reports whether hold's connection, and so its lock, is still there.
func (d *databases) held(ctx context.Context) bool { return d.life.Ping(ctx) == nil }

// sweep drops the databases of runs whose advisory lock is free.
func (d *databases) sweep(ctx context.Context) error {
	rows, err := d.life.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE 'devpg\_%'`)
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	for _, name := range names {
		key, ok := runOf(name)
		if !ok || key == d.key {
			continue
		}
		var dead bool
		if err := d.life.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&dead); err != nil {
			return fmt.Errorf("devpg: %w", err)
		}
		if !dead {
			continue
		}
		// Two processes may sweep at once; the loser's error is no news. So is
		// that of a database somebody looks into with psql.
		_ = d.drop(ctx, name, false)
		if _, err := d.life.Exec(ctx, "SELECT pg_advisory_unlock($1)", key); err != nil {
			return fmt.Errorf("devpg: %w", err)
		}
	}
	return nil
}

// runOf reads the run out of a database name.
func runOf(name string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, databasePrefix)
	if !ok || len(rest) < 17 || rest[16] != '_' {
		return 0, false
	}
	b, err := hex.DecodeString(rest[:16])
	if err != nil {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

// ensure creates a database unless it exists.
func (d *databases) ensure(ctx context.Context, name string) error {
	var exists bool
	err := d.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err == nil && !exists {
		_, err = d.admin.Exec(ctx, "CREATE DATABASE "+quote(name))
	}
	switch code(err) {
	case "42P04", "23505": // duplicate_database, or its index said so first: another process was faster
		err = nil
	}
	if err != nil {
		return fmt.Errorf("devpg: create database %q: %w", name, err)
	}
	return nil
}

// create makes a database; from is its template, or empty for the server's.
func (d *databases) create(ctx context.Context, name, from string) error {
	stmt := "CREATE DATABASE " + quote(name)
	if from != "" {
		stmt += " TEMPLATE " + quote(from)
		if d.fresh {
			// 8 ms instead of 60: the files are copied as they are, not logged
			// page by page.
			stmt += " STRATEGY file_copy"
		}
	}
	if _, err := d.admin.Exec(ctx, stmt); err != nil {
		return fmt.Errorf("devpg: create database %s: %w", name, err)
	}
	return nil
}

// drop removes a database; force ends the sessions in it first.
func (d *databases) drop(ctx context.Context, name string, force bool) error {
	// A template cannot be dropped while it is marked as one.
	_, err := d.admin.Exec(ctx, "ALTER DATABASE "+quote(name)+" WITH IS_TEMPLATE false")
	if err == nil {
		stmt := "DROP DATABASE IF EXISTS " + quote(name)
		if force {
			stmt += " WITH (FORCE)"
		}
		_, err = d.admin.Exec(ctx, stmt)
	}
	if err != nil && code(err) != "3D000" { // invalid_catalog_name: it is gone
		return fmt.Errorf("devpg: drop database %s: %w", name, err)
	}
	return nil
}

// dropOurs removes every database of this run.
func (d *databases) dropOurs(ctx context.Context) error {
	rows, err := d.admin.Query(ctx, "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", databasePrefix+d.run+"_")
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, d.drop(ctx, name, true))
	}
	return errors.Join(errs...)
}

// close ends the run, dropping what it made unless the whole server goes.
func (d *databases) close(dropOurs bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropBound)
	defer cancel()
	var err error
	if dropOurs {
		err = d.dropOurs(ctx)
	}
	if d.life != nil {
		_ = d.life.Close(ctx) // a halted server closed it already
	}
	return err
}

func (d *databases) name(kind string) string {
	return fmt.Sprintf("%s%s_%s%d", databasePrefix, d.run, kind, d.count.Add(1))
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }

// code is the SQLSTATE of an error, empty when it has none.
func code(err error) string {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}
