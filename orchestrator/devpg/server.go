package devpg

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotOurs is returned when a server that this package did not start is
// asked to halt or resume.
var ErrNotOurs = errors.New("devpg: this server is not ours to stop: it was given by its URL")

// Server is a PostgreSQL server that is running, or halted and able to run
// again. All methods are safe for concurrent use.
type Server struct {
	backend backend
	url     string // of Config.Database

	lifecycle sync.Mutex // serialises Halt, Resume, Restart, Stop
	halted    bool
	stopped   bool

	admin     *pgxpool.Pool // on the backend's own database, never on Config.Database
	databases *databases
}

// backend is how a server is run: as a child (ephemeral), on its own
// (persistent), or not by us at all (external).
type backend interface {
	// start returns when the server accepts connections.
	start(ctx context.Context) error
	// halt ends the server and keeps its data.
	halt(how Shutdown) error
	// close ends the use of the server: halt it if nobody else uses it, remove
	// what is temporary, release locks. It is called once.
	close() error
	// describe tells where the server listens and lives.
	describe() description
}

type description struct {
	url      string // of the database postgres
	dataDir  string
	logFile  string
	binaries Binaries
	attached bool
}

// Start starts a server, or attaches to the persistent one that runs already.
// It returns when the server accepts connections. ctx bounds the start alone,
// the fetch of PostgreSQL included; Stop ends the server.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	b, err := newBackend(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, b)
}

// newBackend finds what a start needs: an account, a cache, binaries.
func newBackend(ctx context.Context, cfg *Config) (backend, error) {
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir(cfg, acct)
	if err != nil {
		return nil, err
	}
	if cfg.Mode == Ephemeral {
		bin, err := findBinaries(ctx, cfg, acct, cache, 0)
		if err != nil {
			return nil, err
		}
		return newEphemeral(ctx, cfg, acct, cache, bin)
	}
	dir, err := persistentDir(cfg, cache)
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(ctx, cfg, acct, cache, writtenBy(dir))
	if err != nil {
		return nil, err
	}
	return newPersistent(cfg, acct, bin, dir)
}

// open starts a backend and puts a Server over it.
func open(ctx context.Context, cfg Config, b backend) (_ *Server, err error) {
	s := &Server{backend: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	base := b.describe().url
	if s.url, err = withDatabase(base, cfg.Database); err != nil {
		return nil, err
	}
	if s.admin, err = newAdminPool(ctx, base); err != nil {
		return nil, err
	}
	if s.databases, err = newDatabases(ctx, base, s.admin); err != nil {
		return nil, err
	}
	if cfg.Database != "" {
		if err := s.databases.ensure(ctx, cfg.Database); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// URL is the connection string of Config.Database, for the server's
// superuser. It stays the same over Halt and Resume.
func (s *Server) URL() string { return s.url }

// DataDir is the server's data directory; empty for a server given by URL.
func (s *Server) DataDir() string { return s.backend.describe().dataDir }

// LogFile is where the server writes its log; empty for one given by URL.
func (s *Server) LogFile() string { return s.backend.describe().logFile }

// Binaries says which PostgreSQL runs; the zero value for one given by URL.
func (s *Server) Binaries() Binaries { return s.backend.describe().binaries }

// Attached reports whether the server ran before Start and is shared with
// whoever started it.
func (s *Server) Attached() bool { return s.backend.describe().attached }

// Halt ends the server and keeps its data, port and password for Resume.
// Halting a halted server does nothing. A persistent server halts under all
// its users.
func (s *Server) Halt(how Shutdown) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.stopped {
		return nil
	}
	if err := s.backend.halt(how); err != nil {
		return err
	}
	s.halted = true
	return nil
}

// Resume starts a server again that was halted, or crashed, and returns when
// it accepts connections, recovery included. Resuming a running server does
// nothing.
func (s *Server) Resume(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.stopped {
		return errors.New("devpg: resume: the server was stopped for good: call Start for a new one")
	}
	if err := s.backend.start(ctx); err != nil {
		return err
	}
	s.halted = false
	if s.databases.held(ctx) {
		return nil // it ran all along
	}
	s.admin.Reset() // its connections ended with the server
	return s.databases.hold(ctx)
}

// Restart halts the server and resumes it, as an upgrade (Fast) or a crash
// (Immediate) would.
func (s *Server) Restart(ctx context.Context, how Shutdown) error {
	if err := s.Halt(how); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Stop ends the use of the server: an ephemeral one is shut down and removed,
// a persistent one is shut down when its last user stops it, one given by its
// URL is left as it was found. Stop may be called any number of times, and on
// a nil Server; only the first call does anything.
func (s *Server) Stop() error {
	if s == nil {
		return nil
	}
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	var errs []error
	if s.databases != nil {
		// An ephemeral server's databases go with it, and a halted one's are
		// left to the next sweep.
		_, ephemeral := s.backend.(*ephemeralServer)
		errs = append(errs, s.databases.close(!ephemeral && !s.halted))
	}
	if s.admin != nil {
		s.admin.Close()
	}
	return errors.Join(append(errs, s.backend.close())...)
}

// newAdminPool opens the few connections that create and drop databases.
func newAdminPool(ctx context.Context, base string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(base)
	if err != nil {
		return nil, fmt.Errorf("devpg: %w", err)
	}
	cfg.MaxConns = 4
	cfg.MinConns = 0
	// CREATE DATABASE is never repeated verbatim: nothing to cache.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("devpg: %w", err)
	}
	return pool, nil
}

// serverURL is the connection string of a server of ours.
func serverURL(port int, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, password),
		Host:     "127.0.0.1:" + strconv.Itoa(port),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// withDatabase replaces the database in a connection URL; an empty name keeps
// the one it has.
func withDatabase(base, name string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("devpg: database URL: %w", redactURLError(err))
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("devpg: a database URL begins with postgres:// (the form host=... dbname=... is not taken here)")
	}
	if name == "" {
		return base, nil
	}
	u.Path, u.RawPath = "/"+name, ""
	query := u.Query()
	query.Del("dbname") // it would win over the path
	query.Del("database")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// redactURLError strips the URL, and the password in it, from url.Parse's error.
func redactURLError(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
