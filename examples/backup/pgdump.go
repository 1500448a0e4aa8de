package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/task-orchestrator/task-orchestrator/examples/backup/tasks"
	"github.com/task-orchestrator/task-orchestrator/examples/process"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// pgDumpFailed is worth another attempt: a lock was held, the disk was full.
const pgDumpFailed orchestrator.Code = "pg_dump_failed"

// stopGrace is how long a pg_dump whose task was cancelled has for its end.
const stopGrace = 3 * time.Second

// source is the database to dump.
type source struct {
	config   *pgx.ConnConfig
	settings url.Values

	// What ask has found out.
	major  int              // of the server's version
	tables map[string]int64 // their sizes
	size   int64            // of all of them
}

var fitForFiles = regexp.MustCompile(`^\w[\w-]*$`)

func newSource(serverURL string, database *string) (*source, error) {
	parsed, err := url.Parse(serverURL)
	if err != nil || parsed.Scheme != "postgres" && parsed.Scheme != "postgresql" {
		// Not err, which quotes the URL and with it the password.
		return nil, errors.New("the server's URL is not one such as postgres://user:password@host:5432/database")
	}
	config, err := pgx.ParseConfig(serverURL)
	if err != nil {
		return nil, err
	}
	if database != nil {
		config.Database = *database
	}
	if !fitForFiles.MatchString(config.Database) {
		return nil, fmt.Errorf("database %q: dumps are named after it, so only letters, digits, - and _ will do", config.Database)
	}
	return &source{config: config, settings: parsed.Query()}, nil
}

const tableSizes = `
SELECT n.nspname || '.' || c.relname, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// ask asks the server what it is and what it has.
func (s *source) ask(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int4 / 10000").Scan(&s.major); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, tableSizes)
	if err != nil {
		return err
	}
	s.tables = map[string]int64{}
	var name string
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error {
		s.tables[name] = size
		s.size += size
		return nil
	})
	return err
}

func (s *source) database() string { return s.config.Database }

// checkProgram wants a pg_dump that is there and not older than the server,
// which it refuses to dump.
func (b *backups) checkProgram(ctx context.Context, s *source) error {
	var out strings.Builder
	version := process.Command(ctx, stopGrace, b.pgDump, "--version")
	version.Stdout = &out
	err := process.Run(version)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w: install PostgreSQL's client programs, or set PG_DUMP to the program", tasks.BackupDatabasePgDumpMissing, err)
	case err != nil:
		return fmt.Errorf("%s --version: %w", b.pgDump, err)
	}
	found := regexp.MustCompile(`\d+`).FindString(out.String())
	program, err := strconv.Atoi(found)
	if err != nil {
		return fmt.Errorf("%s --version: no version in %q", b.pgDump, &out)
	}
	if program < s.major {
		return fmt.Errorf("%w: %s is of PostgreSQL %d and the server of %d: install the client programs of %d, or set PG_DUMP to that pg_dump",
			tasks.BackupDatabasePgDumpTooOld, b.pgDump, program, s.major, s.major)
	}
	return nil
}

// dump runs pg_dump into a file. The database's name, user and password reach
// it by its environment and a file that only its owner can read: everybody on
// the machine can see a command line.
func (b *backups) dump(ctx context.Context, t *tasks.BackupDatabaseTask, s *source, path string) (err error) {
	secrets, err := os.MkdirTemp("", "backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(secrets)) }()
	environ, err := s.environ(secrets)
	if err != nil {
		return err
	}
	cmd := process.Command(ctx, stopGrace, b.pgDump, "--format=custom", "--no-password", "--verbose",
		"--compress="+strconv.Itoa(t.Payload.Compression), "--file="+path)
	cmd.Env = environ
	said := &messages{task: t, source: s, progress: func(fraction float64, message string) {
		_ = t.Progress(ctx, fraction, message) // that ctx has ended is seen below
	}}
	lines := &process.Lines{Each: said.add}
	cmd.Stdout, cmd.Stderr = lines, lines
	err = process.Run(cmd)
	lines.Flush()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %w: %s", pgDumpFailed, err, said.failure())
	}
	return nil
}

// libpqVariables are the settings of a URL that pg_dump must have too. Others,
// such as the size of a pool, mean nothing to it.
var libpqVariables = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslsni": "PGSSLSNI", "channel_binding": "PGCHANNELBINDING", "krbsrvname": "PGKRBSRVNAME",
	"connect_timeout": "PGCONNECT_TIMEOUT", "options": "PGOPTIONS",
}

// environ is all that pg_dump gets to see: this process's environment has the
// password in DATABASE_URL.
func (s *source) environ(secrets string) ([]string, error) {
	passwords := filepath.Join(secrets, "pgpass")
	password := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(s.config.Password)
	if err := os.WriteFile(passwords, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		return nil, err
	}
	environ := []string{
		"LC_ALL=C", // so that messages are those that are understood below
		"PGAPPNAME=backup",
		"PGPASSFILE=" + passwords,
		"PGHOST=" + s.config.Host,
		"PGPORT=" + strconv.Itoa(int(s.config.Port)),
		"PGUSER=" + s.config.User,
		"PGDATABASE=" + s.config.Database,
	}
	for setting, variable := range libpqVariables {
		if value := cmp.Or(s.settings.Get(setting), os.Getenv(variable)); value != "" {
			environ = append(environ, variable+"="+value)
		}
	}
	for _, name := range []string{"PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "SystemRoot"} {
		if value, set := os.LookupEnv(name); set {
			environ = append(environ, name+"="+value)
		}
	}
	return environ, nil
}

// messages are what pg_dump says: a line for each thing it does, and for what
// goes wrong.
type messages struct {
	task     *tasks.BackupDatabaseTask
	source   *source
	progress func(fraction float64, message string)
	begun    int64 // size of the tables that were begun
	problems []string
	last     string
}

var tableBegun = regexp.MustCompile(`^dumping contents of table "(.+)"$`)

func (m *messages) add(line string) {
	line = strings.TrimPrefix(line, "pg_dump: ")
	kind, _, _ := strings.Cut(line, ":")
	switch kind {
	case "error", "detail", "hint":
		if len(m.problems) < 10 {
			m.problems = append(m.problems, line)
		}
	case "warning":
		m.task.Logger().Warn("pg_dump", "says", line)
	default:
		m.task.Logger().Debug("pg_dump", "says", line)
	}
	if table := tableBegun.FindStringSubmatch(line); table != nil && m.source.size > 0 {
		m.progress(min(float64(m.begun)/float64(m.source.size), 1), "table "+table[1])
		m.begun += m.source.tables[table[1]]
	}
	m.last = line
}

// failure is what went wrong, as pg_dump tells it.
func (m *messages) failure() string {
	if len(m.problems) == 0 {
		return m.last
	}
	return strings.Join(m.problems, "; ")
}
