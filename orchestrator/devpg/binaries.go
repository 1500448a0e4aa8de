package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// EnvBin names the directory of PostgreSQL's programs, before any other place
// is looked at.
const EnvBin = "ORCHESTRATOR_PG_BIN"

// Binaries is a PostgreSQL installation that was found to run here.
type Binaries struct {
	Dir     string // holds postgres, initdb and pg_ctl
	Version string // as the server prints it, such as 15.18 or 18.4
	Source  string // how it was found, for messages

	libDir string // shared libraries that the loader does not find by itself
}

// Major is the version whose clusters these binaries can run.
func (b Binaries) Major() int {
	digits, _, _ := strings.Cut(b.Version, ".")
	n, _ := strconv.Atoi(digits)
	return n
}

func (b Binaries) program(name string) string { return filepath.Join(b.Dir, name) }

// oldestMajor is the oldest release line that the engine is tested on.
const oldestMajor = 15

// findBinaries returns the first usable PostgreSQL, in the order the package
// documentation lists. A directory that was named explicitly and does not work
// is an error; one that was merely found is passed over. major, unless 0, is
// the version that existing data need: others are passed over too.
func findBinaries(ctx context.Context, cfg *Config, acct account, cache string, major int) (Binaries, error) {
	if cfg.BinDir != "" {
		return inspect(ctx, Binaries{Dir: cfg.BinDir, Source: "Config.BinDir"}, acct)
	}
	if dir := os.Getenv(EnvBin); dir != "" {
		b, err := inspect(ctx, Binaries{Dir: dir, Source: "$" + EnvBin}, acct)
		if err != nil {
			return Binaries{}, fmt.Errorf("%w (%s has to name the directory that holds postgres, initdb and pg_ctl)", err, EnvBin)
		}
		return b, nil
	}
	wish, err := fetchWish()
	if err != nil {
		return Binaries{}, err
	}
	var passed []error
	if wish == "" {
		for _, candidate := range installed() {
			b, err := inspect(ctx, candidate, acct)
			if err == nil && major != 0 && b.Major() != major {
				err = fmt.Errorf("devpg: PostgreSQL from %s: %s is version %s, the existing data need %d", b.Source, b.Dir, b.Version, major)
			}
			if err == nil {
				return b, nil
			}
			passed = append(passed, err)
		}
	}
	b, err := fetchBinaries(ctx, cfg, acct, cache, wish)
	if err != nil {
		return Binaries{}, errors.Join(append(passed, err)...)
	}
	return b, nil
}

// installed lists the places that hold programs, best first.
func installed() []Binaries {
	var found []Binaries
	add := func(source string, dirs ...string) {
		for _, dir := range dirs {
			if isFile(filepath.Join(dir, "postgres")) && isFile(filepath.Join(dir, "initdb")) {
				found = append(found, Binaries{Dir: dir, Source: source})
			}
		}
	}
	add("PATH", filepath.SplitList(os.Getenv("PATH"))...)
	if pgConfig, err := exec.LookPath("pg_config"); err == nil {
		// Fedora and others put only the clients on PATH and tell here.
		if out, err := exec.Command(pgConfig, "--bindir").Output(); err == nil {
			add("pg_config", strings.TrimSpace(string(out)))
		}
	}
	add("Debian's directories", newestFirst("/usr/lib/postgresql/*/bin")...)
	add("PGDG's directories", newestFirst("/usr/pgsql-*/bin")...)
	add("Homebrew", newestFirst("/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")...)
	add("Postgres.app", newestFirst("/Applications/Postgres.app/Contents/Versions/*/bin")...)
	return found
}

// newestFirst expands patterns whose star is a version, the highest first.
func newestFirst(patterns ...string) []string {
	var dirs []string
	for _, p := range patterns {
		found, _ := filepath.Glob(p) // fails only on a malformed pattern
		dirs = append(dirs, found...)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return versionIn(b) - versionIn(a) })
	return dirs
}

// versionIn is the last number in a path, 0 without one.
func versionIn(path string) int {
	fields := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[len(fields)-1])
	return n
}

// inspect runs the server once, as the user that will run it: the only way to
// learn whether it can be reached, loaded and is of a version we support.
func inspect(ctx context.Context, b Binaries, acct account) (Binaries, error) {
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("devpg: %s: %w", b.Dir, err)
	}
	b.Dir = dir
	for _, program := range []string{"postgres", "initdb", "pg_ctl"} {
		if !isFile(b.program(program)) {
			return Binaries{}, fmt.Errorf("devpg: PostgreSQL from %s: no program %s", b.Source, b.program(program))
		}
	}
	out, err := runBounded(ctx, command(b, acct, "/", "postgres", "--version"))
	if errors.Is(err, os.ErrPermission) && acct.switched {
		return Binaries{}, fmt.Errorf("devpg: PostgreSQL from %s: %s may not be run by user %s, which runs it for root: %w",
			b.Source, b.program("postgres"), acct.name, err)
	}
	if err != nil {
		return Binaries{}, fmt.Errorf("devpg: PostgreSQL from %s: run %s --version: %w\n%s", b.Source, b.program("postgres"), err, indent(out))
	}
	if b.Version, err = parseVersion(string(out)); err != nil {
		return Binaries{}, fmt.Errorf("devpg: PostgreSQL from %s: %w", b.Source, err)
	}
	if b.Major() < oldestMajor {
		return Binaries{}, fmt.Errorf("devpg: PostgreSQL from %s: %s is version %s, the oldest supported is %d",
			b.Source, b.Dir, b.Version, oldestMajor)
	}
	return b, nil
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func parseVersion(line string) (string, error) {
	_, rest, ok := strings.Cut(line, "(PostgreSQL) ")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return "", fmt.Errorf("cannot read a version from %q", strings.TrimSpace(line))
	}
	return fields[0], nil
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}
