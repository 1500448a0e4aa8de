package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/examples/backup/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

// program finds one of PostgreSQL's client programs, beside the server's or on
// PATH, that is not older than the server. A PostgreSQL that was fetched from
// npm has none: then the test is skipped, except where
// ORCHESTRATOR_REQUIRE_PG_DUMP says that it must not be.
func program(t *testing.T, name string) string {
	t.Helper()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	require.NoError(t, err)
	candidates := []string{name}
	if dir := server.Binaries().Dir; dir != "" { // "" for a server given by its URL
		candidates = []string{filepath.Join(dir, name), name}
	}
	for _, candidate := range candidates {
		out, err := exec.CommandContext(t.Context(), candidate, "--version").Output()
		major, _ := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(string(out)))
		if err == nil && major >= server.Binaries().Major() {
			return candidate
		}
	}
	require.Empty(t, os.Getenv("ORCHESTRATOR_REQUIRE_PG_DUMP"), "no %s for the server's version, and ORCHESTRATOR_REQUIRE_PG_DUMP is set", name)
	t.Skipf("no %s for the server's version: install PostgreSQL's client programs", name)
	return ""
}

// fixture is a database to back up and a client of it.
type fixture struct {
	url    string
	client *orchestrator.Client
	log    *harness.Buffer
	*backups
}

func newFixture(t *testing.T, pgDump string) *fixture {
	t.Helper()
	url, log := orchestratortest.DB(t), &harness.Buffer{}
	client, err := orchestrator.Open(t.Context(), url, orchestrator.ClientConfig{
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return &fixture{url, client, log, &backups{url: url, dir: filepath.Join(t.TempDir(), "dumps"), pgDump: pgDump}}
}

func (f *fixture) mux() *orchestrator.Mux {
	mux := orchestrator.NewMux()
	tasks.Register(mux, f.backups)
	return mux
}

// backUp runs one backup as a task.
func (f *fixture) backUp(t *testing.T, payload tasks.BackupDatabasePayload, opts ...orchestrator.EnqueueOption) (tasks.BackupDatabaseResult, error) {
	t.Helper()
	task, err := tasks.EnqueueBackupDatabase(t.Context(), f.client, payload, opts...)
	require.NoError(t, err)
	orchestratortest.Drain(t, f.client, f.mux())
	return task.Result(t.Context())
}

// files are the names in the directory of dumps, hidden ones too.
func (f *fixture) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

const fill = `
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer text NOT NULL, total numeric(12, 2), note text, placed_at timestamptz NOT NULL);
CREATE TABLE shop.lines (order_id bigint REFERENCES shop.orders, position int, sku text, picture bytea, PRIMARY KEY (order_id, position));
INSERT INTO shop.orders
SELECT i, 'kunde ' || i || ' "é\n' || chr(9731), i * 1.07, CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('x', i % 50) END, timestamptz '2026-11-21' + i * interval '1 minute'
FROM generate_series(1, 2000) AS i;
INSERT INTO shop.lines SELECT o.id, p, 'SKU-' || p, decode(md5(o.id::text), 'hex') FROM shop.orders o CROSS JOIN generate_series(1, 3) AS p;`

// fingerprint sums all rows of the shop up.
const fingerprint = `
SELECT concat((SELECT concat(count(*), ' ', md5(string_agg(o::text, '|' ORDER BY o.id))) FROM shop.orders o), ' ',
    (SELECT concat(count(*), ' ', md5(string_agg(l::text, '|' ORDER BY l.order_id, l.position))) FROM shop.lines l))`

func query(t *testing.T, url, statement string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	require.NoError(t, conn.QueryRow(t.Context(), statement, pgx.QueryExecModeSimpleProtocol).Scan(&answer))
	return answer
}

func execute(t *testing.T, url, statements string) {
	t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(context.WithoutCancel(t.Context()), statements, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
}

// emptyDatabase makes a database beside another.
func emptyDatabase(t *testing.T, beside string) (target string) {
	t.Helper()
	parsed, err := url.Parse(beside)
	require.NoError(t, err)
	name := strings.TrimPrefix(parsed.Path, "/") + "_restored"
	execute(t, beside, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { execute(t, beside, "DROP DATABASE "+name+" WITH (FORCE)") })
	parsed.Path = "/" + name
	return parsed.String()
}

func TestDumpsAreKeptAndRestore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, program(t, "pg_dump"))
	execute(t, f.url, fill)
	var results []tasks.BackupDatabaseResult
	for i := range 5 {
		execute(t, f.url, fmt.Sprintf("INSERT INTO shop.orders VALUES (%d, 'late', 1, NULL, now())", 10_000+i))
		r, err := f.backUp(t, tasks.BackupDatabasePayload{Keep: 3})
		require.NoError(t, err)
		results = append(results, r)
	}
	before := query(t, f.url, fingerprint)
	execute(t, f.url, "DELETE FROM shop.lines; DELETE FROM shop.orders")

	// The newest three are there, whole, and nothing else.
	var want []string
	for i, r := range results {
		require.Positive(t, r.Took.Std())
		if i >= 2 {
			want = append(want, filepath.Base(r.File))
			dump, err := os.ReadFile(r.File)
			require.NoError(t, err)
			require.Len(t, dump, int(r.Bytes))
			sum := sha256.Sum256(dump)
			require.Equal(t, hex.EncodeToString(sum[:]), r.Sha256)
		}
	}
	require.Equal(t, want, f.files(t))
	require.Empty(t, results[2].Removed)
	require.Equal(t, []string{results[0].File}, results[3].Removed)
	require.Equal(t, []string{results[1].File}, results[4].Removed)

	target := emptyDatabase(t, f.url)
	out, err := exec.CommandContext(t.Context(), program(t, "pg_restore"), "--exit-on-error", "--dbname="+target, results[4].File).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, before, query(t, target, fingerprint))
	require.True(t, strings.HasPrefix(before, "2005 "), before)
}

func TestDumpsOfOtherDatabasesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Date(2026, 11, 21, 2, 30, 0, 0, time.UTC)
	name := func(database string, day int) string { return dumpName(database, at.AddDate(0, 0, day), 7) }
	stale := "." + name("shop", 0) + partialSuffix
	fresh := "." + name("shop", 2) + partialSuffix
	others := []string{name("shop-two", 0), name("shopping", 0), "shop-notes.txt", "shop-20261121T023000.000Z-7.dump.gpg", fresh, name("shop", 3), name("shop", 2)}
	for _, file := range append(others, stale, name("shop", 1), name("shop", 0)) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600))
	}
	require.NoError(t, os.Chtimes(filepath.Join(dir, stale), at, at.Add(-2*abandonedAfter)))
	require.NoError(t, os.Chtimes(filepath.Join(dir, fresh), at, at.Add(-time.Minute)))

	removed, err := prune(dir, "shop", 2, at)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, name("shop", 0)), filepath.Join(dir, name("shop", 1))}, removed)
	slices.Sort(others)
	f := &fixture{backups: &backups{dir: dir}}
	require.Equal(t, others, f.files(t))
}

// wrapper is a program in the place of pg_dump. The script has pg_dump's
// arguments, and those alone in $*, $PG_DUMP for the real one, and $DIR for a
// directory of the test's.
func wrapper(t *testing.T, pgDump, script string) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "pg_dump")
	text := fmt.Sprintf("#!/bin/sh\nPG_DUMP='%s' DIR='%s'\n%s\n", pgDump, dir, script)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	return path, dir
}

const versionOrElse = `[ "$1" = --version ] && exec "$PG_DUMP" --version` + "\n"

func TestPasswordIsNotSeen(t *testing.T) {
	t.Parallel()
	path, dir := wrapper(t, program(t, "pg_dump"), versionOrElse+`echo "$0 $*" >"$DIR/arguments"; env >"$DIR/environment"
		ls -l "$PGPASSFILE" >"$DIR/mode"; echo "$PGPASSFILE" >"$DIR/passfile"; exec "$PG_DUMP" "$@"`)
	f := newFixture(t, path)
	// A role with a password that needs every kind of escaping.
	const password = `pa:ss\wo rd'"%`
	role := "backup_" + regexp.MustCompile(`\W`).ReplaceAllString(strings.ToLower(t.Name()), "") + strconv.Itoa(os.Getpid())
	execute(t, f.url, fmt.Sprintf(`CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'`, role, strings.ReplaceAll(password, "'", "''")))
	t.Cleanup(func() { execute(t, f.url, "DROP ROLE "+role) })
	parsed, err := url.Parse(f.url)
	require.NoError(t, err)
	parsed.User = url.UserPassword(role, password)
	f.backups.url = parsed.String()

	r, err := f.backUp(t, tasks.BackupDatabasePayload{})
	require.NoError(t, err)
	require.Positive(t, r.Bytes)
	seen := f.log.String()
	for _, name := range []string{"arguments", "environment"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		seen += string(text)
	}
	require.Contains(t, seen, "PGUSER="+role)
	require.Contains(t, seen, "--format=custom")
	for _, secret := range []string{password, url.QueryEscape(password), parsed.User.String()} {
		require.NotContains(t, seen, secret)
	}
	require.NotContains(t, seen, "DATABASE_URL")
	mode, err := os.ReadFile(filepath.Join(dir, "mode"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(mode), "-rw-------"), "%s", mode)
	passfile, err := os.ReadFile(filepath.Join(dir, "passfile"))
	require.NoError(t, err)
	require.NoFileExists(t, strings.TrimSpace(string(passfile)))
	info, err := os.Stat(r.File)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestProgramThatCannotDumpGivesUpWithACode(t *testing.T) {
	t.Parallel()
	old, _ := wrapper(t, "", `echo "pg_dump (PostgreSQL) 9.6.24"`)
	for _, c := range []struct {
		pgDump string
		code   orchestrator.Code
		says   string
	}{
		{"/no/such/pg_dump", tasks.BackupDatabasePgDumpMissing, "install PostgreSQL's client programs"},
		{"no-such-pg-dump", tasks.BackupDatabasePgDumpMissing, "set PG_DUMP to the program"},
		{old, tasks.BackupDatabasePgDumpTooOld, "is of PostgreSQL 9 and the server of"},
	} {
		f := newFixture(t, c.pgDump)
		_, err := f.backUp(t, tasks.BackupDatabasePayload{})
		require.ErrorIs(t, err, c.code)
		require.ErrorContains(t, err, c.says)
		require.ErrorContains(t, err, "after 1 attempts")
		require.Empty(t, f.files(t))
	}
}

func TestFailedDumpLeavesNothingAndIsWorthARetry(t *testing.T) {
	t.Parallel()
	path, _ := wrapper(t, program(t, "pg_dump"), versionOrElse+`for a; do case $a in --file=*) echo half >"${a#--file=}";; esac; done
		echo "pg_dump: reading schemas" >&2; echo "pg_dump: error: could not write: No space left on device" >&2; exit 1`)
	f := newFixture(t, path)
	_, err := f.backUp(t, tasks.BackupDatabasePayload{}, orchestrator.WithMaxAttempts(1))
	require.ErrorIs(t, err, pgDumpFailed)
	require.ErrorContains(t, err, "exit status 1: error: could not write: No space left on device")
	require.Empty(t, f.files(t))

	_, err = f.backUp(t, tasks.BackupDatabasePayload{Database: new("no_such_database")}, orchestrator.WithMaxAttempts(1))
	require.ErrorContains(t, err, `database "no_such_database" does not exist`)
	require.Empty(t, f.files(t))

	// Both are worth another attempt; a program that is missing is not.
	state, _ := tasks.BackupDatabase.Definition.Judge(1, pgDumpFailed)
	require.Equal(t, orchestrator.Retrying, state)
	state, _ = tasks.BackupDatabase.Definition.Judge(1, tasks.BackupDatabasePgDumpMissing)
	require.Equal(t, orchestrator.Dead, state)
}

func TestStoppedWorkerEndsPgDump(t *testing.T) {
	t.Parallel()
	path, dir := wrapper(t, program(t, "pg_dump"), versionOrElse+`"$PG_DUMP" "$@"
		sleep 1000 & echo $! >"$DIR/child.new"; mv "$DIR/child.new" "$DIR/child"; wait`)
	f := newFixture(t, path)
	task, err := tasks.EnqueueBackupDatabase(t.Context(), f.client, tasks.BackupDatabasePayload{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- orchestrator.NewWorker(f.client, f.mux(), orchestrator.WorkerConfig{ShutdownTimeout: time.Millisecond}).Run(ctx)
	}()
	var child []byte
	require.Eventually(t, func() bool {
		child, err = os.ReadFile(filepath.Join(dir, "child"))
		return err == nil
	}, time.Minute, time.Millisecond)
	require.Len(t, f.files(t), 1)
	require.Eventually(t, func() bool {
		info, err := f.client.TaskInfo(t.Context(), task.ID())
		return err == nil && info.Progress.Fraction > 0 && strings.HasPrefix(info.Progress.Message, "table ")
	}, time.Minute, time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	pid, err := strconv.Atoi(strings.TrimSpace(string(child)))
	require.NoError(t, err)
	harness.AwaitGone(t, pid)
	require.Empty(t, f.files(t))
	info, err := f.client.TaskInfo(t.Context(), task.ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Ready, info.State, "given back")
	require.Zero(t, info.Attempts)
}

func TestProgressIsByTheTablesSizes(t *testing.T) {
	t.Parallel()
	var said []string
	m := &messages{
		task:   &tasks.BackupDatabaseTask{},
		source: &source{tables: map[string]int64{"shop.lines": 300, "shop.orders": 100}, size: 400},
		progress: func(fraction float64, message string) {
			said = append(said, fmt.Sprint(fraction, " ", message))
		},
	}
	for _, line := range []string{"last built-in OID is 16383", `dumping contents of table "shop.lines"`, `dumping contents of table "shop.new"`, `dumping contents of table "shop.orders"`} {
		m.add("pg_dump: " + line)
	}
	require.Equal(t, []string{"0 table shop.lines", "0.75 table shop.new", "0.75 table shop.orders"}, said)
	require.Equal(t, `dumping contents of table "shop.orders"`, m.failure())
}

func TestProgramBacksUpAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, program(t, "pg_dump"))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f.url, f.backups, []string{"now"}, &out))
	require.Regexp(t, `^\S+/dumps/\w+-\d{8}T\d{6}\.\d{3}Z-1\.dump: \d+ bytes, sha256 [0-9a-f]{64}, took \S+s\n$`, out.String())
	require.ErrorContains(t, run(t.Context(), f.url, f.backups, []string{"later"}, &out), "usage: backup [now]")
	require.Len(t, f.files(t), 1)
}

// Nights in which no worker ran make one dump.
func TestScheduleMakesUpForMissedNights(t *testing.T) {
	t.Parallel()
	f := newFixture(t, program(t, "pg_dump"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, f.url, f.backups, nil, io.Discard) }()
	var schedule orchestrator.ScheduleInfo
	harness.Await(t, "the schedule", func() bool {
		var err error
		schedule, err = f.client.ScheduleInfo(t.Context(), "nightly_backup")
		return err == nil && !schedule.NextAt.IsZero()
	})
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	require.NoError(t, err)
	due := schedule.NextAt.In(lisbon)
	require.Equal(t, "02:30", due.Format("15:04"))
	execute(t, f.url, "UPDATE orchestrator.schedules SET next_at = next_at - interval '4 days'")
	var all []orchestrator.TaskInfo
	harness.Await(t, "a dump", func() bool {
		all = all[:0]
		for task, err := range f.client.Tasks(t.Context(), orchestrator.TaskFilter{}) {
			require.NoError(t, err)
			all = append(all, task)
		}
		return len(all) > 0 && all[0].State == orchestrator.Succeeded
	})
	require.Len(t, all, 1)
	require.JSONEq(t, `{"keep": 14}`, string(all[0].Payload))
	schedule, err = f.client.ScheduleInfo(t.Context(), "nightly_backup")
	require.NoError(t, err)
	require.True(t, schedule.NextAt.After(time.Now()), schedule.NextAt)
	require.Len(t, f.files(t), 1)
	stop()
	require.NoError(t, <-ended)
}

func TestNamesThatAreUnfitForFiles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../etc", "-rf", "a b", "a%2Fb"} {
		_, err := newSource("postgres://me:secret@localhost/app", &name)
		require.ErrorContains(t, err, "dumps are named after it", name)
	}
	for _, bad := range []string{"", "host=localhost password=secret", "postgres://me:secret@local host/", "mysql://me:secret@localhost/app"} {
		_, err := newSource(bad, nil)
		require.ErrorContains(t, err, "postgres://user:password@host:5432/database", bad)
		require.NotContains(t, err.Error(), "secret")
	}
}
