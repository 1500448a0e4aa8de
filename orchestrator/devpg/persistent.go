package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// persistentServer is a server that belongs to a directory rather than to a
// process, so that two terminals in one project share one database:
//
//	<dir>/transition.lock   held while the server is started, joined or left
//	<dir>/users.lock        shared by every process that uses the server
//	<dir>/password, port    kept, so that a URL noted down stays good
//	<dir>/data/             the data directory
//	<dir>/server.log        and server.log.1, of the run before
//
//	          start                      start
//	(halted) ------> running, one user ------> running, n users
//	   ^                    |     <------          |
//	   +--------------------+      close           |  a user is killed: its
//	     close by the last                         v  lock goes with it
//
// The server runs in a session of its own (pg_ctl sees to that) and outlives
// the process that started it as long as others use it. When its last user is
// killed it runs on until the next one stops it.
type persistentServer struct {
	cfg  *Config
	acct account
	bin  Binaries
	dir  string

	mu       sync.Mutex // guards what follows
	users    *fileLock  // shared; nil before the first start
	password string
	port     int
	started  bool // port is in a URL that was given out
	attached bool
}

// transitionBound limits the wait for another process that starts or stops
// the same server, where no context does.
const transitionBound = 2 * time.Minute

func newPersistent(cfg *Config, acct account, bin Binaries, dir string) (*persistentServer, error) {
	if err := makeOurs(dir, acct); err != nil {
		return nil, fmt.Errorf("devpg: development data: %w", err)
	}
	return &persistentServer{cfg: cfg, acct: acct, bin: bin, dir: dir}, nil
}

// persistentDir is where the data of cfg are, whether they exist or not.
func persistentDir(cfg *Config, cache string) (string, error) {
	if cfg.Dir != "" {
		dir, err := filepath.Abs(cfg.Dir)
		if err != nil {
			return "", fmt.Errorf("devpg: %s: %w", cfg.Dir, err)
		}
		return dir, nil
	}
	return projectDir(cache, cfg.Project)
}

// writtenBy is the major version whose data are in dir, 0 when there are none.
func writtenBy(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

func (p *persistentServer) path(name string) string { return filepath.Join(p.dir, name) }
func (p *persistentServer) data() string            { return p.path("data") }

func (p *persistentServer) describe() description {
	p.mu.Lock()
	defer p.mu.Unlock()
	return description{
		url:      serverURL(p.port, p.password),
		dataDir:  p.data(),
		logFile:  p.path("server.log"),
		binaries: p.bin,
		attached: p.attached,
	}
}

func (p *persistentServer) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	transition, err := waitLock(ctx, p.path("transition.lock"))
	if err != nil {
		return err
	}
	defer transition.unlock()

	first := p.users == nil
	if first {
		if p.users, err = tryLock(p.path("users.lock"), true); err != nil {
			return err
		}
	}
	if pm, running := runningServer(p.data()); running {
		return p.attach(ctx, pm, first)
	}
	if first {
		if err := p.ensureCluster(ctx); err != nil {
			return err
		}
	}
	return p.launch(ctx)
}

// attach joins a running server. It may still be starting, when the process
// that started it was killed meanwhile.
func (p *persistentServer) attach(ctx context.Context, pm postmaster, first bool) error {
	if first {
		if err := p.readIdentity(); err != nil {
			return err
		}
		p.attached = true
		if pm.port != 0 {
			p.port = pm.port
		}
		p.cfg.note("devpg: attached to the PostgreSQL that runs on %s", p.data())
	}
	if err := awaitReady(ctx, serverURL(p.port, p.password), p.data(), nil); err != nil {
		return fmt.Errorf("devpg: attach to the server of %s, process %d: %w (its log is %s)", p.dir, pm.pid, err, p.path("server.log"))
	}
	p.started = true
	return nil
}

// readIdentity reads what makes a URL: the password and the last port.
func (p *persistentServer) readIdentity() error {
	pw, err := os.ReadFile(p.path("password"))
	if err != nil {
		return fmt.Errorf("devpg: the password of the data in %s: %w", p.dir, err)
	}
	p.password = strings.TrimSpace(string(pw))
	port, err := os.ReadFile(p.path("port"))
	if err == nil {
		p.port, _ = strconv.Atoi(strings.TrimSpace(string(port)))
	}
	return nil
}

// ensureCluster creates the cluster on first use. It appears complete, by one
// rename, or not at all.
func (p *persistentServer) ensureCluster(ctx context.Context) error {
	if _, err := os.Stat(p.path("data")); err == nil {
		if major := writtenBy(p.dir); major != p.bin.Major() {
			return fmt.Errorf("devpg: the data in %s were written by PostgreSQL %d, and %s holds %s: "+
				"set %s to the programs of PostgreSQL %d, or remove the directory to start afresh",
				p.dir, major, p.bin.Dir, p.bin.Version, EnvBin, major)
		}
		return p.readIdentity()
	}
	p.cfg.note("devpg: creating a database cluster of PostgreSQL %s in %s", p.bin.Version, p.dir)
	tmp := p.path("new")
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := p.acct.own(tmp); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	p.password = newPassword()
	if err := initialise(ctx, p.bin, p.acct, filepath.Join(tmp, "data"), p.password, true); err != nil {
		return err
	}
	if err := os.WriteFile(p.path("password"), []byte(p.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := os.Rename(filepath.Join(tmp, "data"), p.data()); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}

// launch starts the server, on the port it had before if that is free. A port
// that was given out in a URL is kept, or reported as taken, but not changed.
func (p *persistentServer) launch(ctx context.Context) error {
	for {
		port := p.port
		if !p.started && (port == 0 || !portFree(port)) {
			var err error
			if port, err = choosePort(); err != nil {
				return err
			}
		}
		err := p.launchOn(ctx, port)
		if err == nil {
			p.port, p.started = port, true
			return nil
		}
		if p.started || !errors.Is(err, errPortTaken) {
			return err
		}
		p.port = 0
	}
}

// launchOn makes one attempt. pg_ctl detaches the server from this process and
// waits until it accepts connections, or exits.
func (p *persistentServer) launchOn(ctx context.Context, port int) error {
	if err := os.WriteFile(p.path("port"), []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := writeSettings(p.data(), p.acct, settings(p.cfg, port)); err != nil {
		return err
	}
	if err := p.freshLog(); err != nil {
		return err
	}
	if err := removeStalePidfile(p.data()); err != nil {
		return err
	}
	cmd := command(p.bin, p.acct, p.dir, "pg_ctl", "start", "--wait", "--timeout", strconv.Itoa(int(readyBound.Seconds())),
		"--pgdata", p.data(), "--log", p.path("server.log"))
	out, err := runBounded(ctx, cmd)
	if err == nil {
		err = awaitReady(ctx, serverURL(port, p.password), p.data(), nil)
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, endServer(p.data(), Immediate)) // it may be starting still
	said := logTail(p.path("server.log"), 0)
	if saysPortTaken(said) {
		return fmt.Errorf("%w: 127.0.0.1:%d", errPortTaken, port)
	}
	return fmt.Errorf("devpg: start %s on %s: %w\n%s\n%s", p.bin.program("postgres"), p.data(), err, indent(out), indent([]byte(said)))
}

// freshLog keeps one old log and makes a new one that the server may write.
func (p *persistentServer) freshLog() error {
	log := p.path("server.log")
	if err := os.Rename(log, log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := p.acct.own(log); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}

func (p *persistentServer) halt(how Shutdown) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alone(func() error { return endServer(p.data(), how) })
}

// close leaves the server and, as its last user, shuts it down.
func (p *persistentServer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alone(func() error {
		p.users.unlock()
		p.users = nil
		last, err := tryLock(p.path("users.lock"), false)
		if errors.Is(err, errLocked) {
			return nil
		}
		if err != nil {
			return err
		}
		defer last.unlock()
		return endServer(p.data(), Fast)
	})
}

// alone runs f while no other process starts, joins or leaves the server.
func (p *persistentServer) alone(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), transitionBound)
	defer cancel()
	transition, err := waitLock(ctx, p.path("transition.lock"))
	if err != nil {
		return err
	}
	defer transition.unlock()
	return f()
}
