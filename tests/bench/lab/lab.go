package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// Config is what a Lab is made with.
type Config struct {
	// Scale multiplies every number of tasks and every duration; 1 is the real
	// thing, less is for trying out.
	Scale float64
	// Soak is how long the soak lasts, whatever the scale; 0 is the case's own.
	Soak time.Duration
	// Log is told what is under way.
	Log io.Writer
}

// Lab is a running PostgreSQL and what measures on it.
type Lab struct {
	config   Config
	server   *devpg.Server
	lock     *os.File
	work     string // for programs built and packages installed
	program  string // this one
	settings map[string]string
	// originals are what Copy copies, by name.
	originals map[string]*Database
}

// settings are those of every contestant; the rest is PostgreSQL's default.
// Its defaults for memory and log are those of a laptop of 2005, and with them
// every contestant would measure checkpoints.
func settings() map[string]string {
	return map[string]string{
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		"shared_buffers":     "1GB",
		"max_wal_size":       "8GB",
		"checkpoint_timeout": "15min",
	}
}

// project names the directory of the server's data.
const project = "task-orchestrator-bench"

// Open starts the server, on a disk: in the directory for development data,
// which is emptied before and after.
func Open(ctx context.Context, config Config) (_ *Lab, err error) {
	l := &Lab{config: config, settings: settings()}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("bench: a directory for programs built: %w", err)
	}
	l.work = filepath.Join(cache, "task-orchestrator", "bench")
	if err := os.MkdirAll(l.work, 0o700); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if l.lock, err = lockFile(filepath.Join(l.work, "lock")); err != nil {
		return nil, err
	}
	for l.server == nil || l.server.Attached() {
		if l.server != nil { // of a run that was killed: with the lock it has no other user
			l.Logf("removing the server of a run that was killed")
			if err := l.stopServer(); err != nil {
				return nil, err
			}
		}
		l.server, err = devpg.Start(ctx, devpg.Config{
			Mode: devpg.Persistent, Project: filepath.Join(l.work, project), Settings: l.settings, Log: config.Log,
		})
		if err != nil {
			return nil, fmt.Errorf("bench: start PostgreSQL: %w", err)
		}
	}
	return l, l.dropDatabases(ctx)
}

// Close stops the server and removes its data.
func (l *Lab) Close() error {
	err := l.stopServer()
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
		l.lock = nil
	}
	return err
}

func (l *Lab) stopServer() error {
	if l.server == nil {
		return nil
	}
	dir := filepath.Dir(l.server.DataDir())
	err := l.server.Stop()
	if err == nil {
		err = os.RemoveAll(dir)
	}
	l.server = nil
	if err != nil {
		return fmt.Errorf("bench: stop PostgreSQL: %w", err)
	}
	return nil
}

// Tasks scales a number of tasks; it is at least 1.
func (l *Lab) Tasks(n int) int { return max(1, int(float64(n)*l.config.Scale)) }

// For scales a duration, to no less than what a statement takes.
func (l *Lab) For(d time.Duration) time.Duration {
	return max(20*time.Millisecond, time.Duration(float64(d)*l.config.Scale))
}

// Scale is what multiplies numbers of tasks and durations.
func (l *Lab) Scale() float64 { return l.config.Scale }

// Soak is Config.Soak.
func (l *Lab) Soak() time.Duration { return l.config.Soak }

// Work is a directory that is kept from run to run, for programs that are
// built and packages that are installed.
func (l *Lab) Work() string { return l.work }

// Logf tells what is under way.
func (l *Lab) Logf(format string, args ...any) {
	if l.config.Log != nil {
		fmt.Fprintf(l.config.Log, format+"\n", args...)
	}
}
