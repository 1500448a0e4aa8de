package devpg

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mode says what a server's data are worth.
type Mode int

const (
	// Ephemeral is for tests: data in memory when there is room, no fsync,
	// everything gone after Stop. A crash of the *server* loses nothing that
	// was committed; a crash of the machine loses all of it.
	Ephemeral Mode = iota

	// Persistent is for development: durable data in a directory that is found
	// again by the next Start, and shared by all who use it at the same time.
	Persistent
)

// Config says which server to start. The zero Config is an ephemeral server
// of whatever PostgreSQL is found.
type Config struct {
	Mode Mode

	// Project is the directory whose development data a persistent server
	// keeps; empty means the working directory. It is only a name: nothing is
	// written into it.
	Project string

	// Dir keeps a persistent server's data; empty means a directory in the
	// user's cache, named after Project.
	Dir string

	// Database is created when it is missing and named in URL. Empty means
	// "postgres", which always exists.
	Database string

	// BinDir holds PostgreSQL's programs. Empty means: find or fetch them.
	BinDir string

	// CacheDir replaces the directory in the user's cache that holds unpacked
	// binaries and initialised clusters. As root it has to be one that the
	// postgres user may enter.
	CacheDir string

	// Settings are added to postgresql.conf and win over the mode's own.
	Settings map[string]string

	// Log is told, in whole lines, what takes time or network traffic: a fetch
	// with its source and size, a sweep, a start. Nil means silence; errors
	// are returned, never logged. It is written to by Start alone.
	Log io.Writer

	scratch string // where ephemeral servers live; for the package's tests
}

// note writes a line to the log.
func (c *Config) note(format string, args ...any) {
	if c.Log != nil {
		fmt.Fprintf(c.Log, format+"\n", args...)
	}
}

// Shutdown is how a server is told to end, in PostgreSQL's own terms.
type Shutdown int

const (
	// Fast ends every session, writes a checkpoint and exits.
	Fast Shutdown = iota

	// Immediate drops everything without a word, as a crash does; the next
	// start recovers from the log.
	Immediate
)

// shutdownStep is a signal, and how long a server may take to follow it.
type shutdownStep struct {
	signal syscall.Signal
	bound  time.Duration
}

// shutdownSteps are the signals of a shutdown, harder each time. A fast
// shutdown writes a checkpoint, so it is given longest.
func shutdownSteps(how Shutdown) []shutdownStep {
	steps := []shutdownStep{
		{signalFast, 20 * time.Second},
		{signalImmediate, 10 * time.Second},
		{signalKill, 10 * time.Second},
	}
	if how == Immediate {
		return steps[1:]
	}
	return steps
}

// settings are the lines of postgresql.conf for a mode and port.
func settings(cfg *Config, port int) map[string]string {
	s := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "", // their paths may be at most 107 bytes long; TCP has no such trap
		"max_connections":         "300",
		"log_timezone":            utc(),
		"timezone":                utc(),
	}
	if cfg.Mode == Ephemeral {
		maps.Copy(s, map[string]string{
			// The file system outlives a crash of the server, so what was
			// written is safe without fsync. synchronous_commit stays on: with
			// it off an immediate shutdown loses acknowledged commits, which
			// fault tests would report as ours, to save 5 of 38 microseconds.
			"fsync":            "off",
			"full_page_writes": "off",
			"shared_buffers":   "64MB",
			"max_wal_size":     "256MB",
		})
	}
	maps.Copy(s, cfg.Settings)
	return s
}

// utc names the zone of a server's sessions. GMT is the one zone a server
// knows without the system's zone files, which a small container lacks.
func utc() string {
	if isFile("/usr/share/zoneinfo/UTC") {
		return "UTC"
	}
	return "GMT"
}

// writeSettings replaces postgresql.conf. It is ours: a cluster's owner
// changes it with Config.Settings or ALTER SYSTEM, which has its own file.
func writeSettings(data string, acct account, s map[string]string) error {
	var b strings.Builder
	b.WriteString("# Written by devpg at every start.\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(s[name], "'", "''"))
	}
	path := filepath.Join(data, "postgresql.conf")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := acct.own(path); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}
