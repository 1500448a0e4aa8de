package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// ephemeralServer is a server on a copy of the cached cluster, run as a child
// of this process in a scratch directory of its own:
//
//	<scratch>/lock             held while directories are made or swept
//	<scratch>/run-<pid>-*/     one server
//	    owner.lock             held as long as its owner lives
//	    data/                  the data directory
//	    server.log
type ephemeralServer struct {
	cfg      *Config
	acct     account
	bin      Binaries
	dir      string
	password string
	owner    *fileLock

	mu    sync.Mutex // guards what follows
	port  int        // chosen by the first start, then kept
	child *child     // nil while halted
}

// newEphemeral sweeps what dead processes left and makes a cluster to run on.
func newEphemeral(ctx context.Context, cfg *Config, acct account, cache string, bin Binaries) (_ *ephemeralServer, err error) {
	template, password, err := cachedCluster(ctx, cache, bin, acct)
	if err != nil {
		return nil, err
	}
	root := cfg.scratch
	if root == "" {
		if root, err = scratchRoot(acct); err != nil {
			return nil, err
		}
	}
	e := &ephemeralServer{cfg: cfg, acct: acct, bin: bin, password: password}
	if err := e.claimDir(ctx, root); err != nil {
		return nil, err
	}
	if err := copyCluster(ctx, template, e.data(), acct); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// claimDir makes the server's directory and marks it as ours, sweeping others
// on the way. Both happen under one lock, so that a directory is never seen
// between being made and being marked.
func (e *ephemeralServer) claimDir(ctx context.Context, root string) error {
	lock, err := waitLock(ctx, filepath.Join(root, "lock"))
	if err != nil {
		return err
	}
	defer lock.unlock()
	sweep(e.cfg, root)

	if e.dir, err = os.MkdirTemp(root, "run-"+strconv.Itoa(os.Getpid())+"-"); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if e.owner, err = tryLock(filepath.Join(e.dir, "owner.lock"), false); err == nil {
		err = os.Chmod(e.dir, dirMode(e.acct))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("devpg: claim %s: %w", e.dir, err), e.close())
	}
	return nil
}

// sweep removes the directories of processes that died without Stop, and ends
// the servers that still run there. A directory whose lock is held belongs to
// the living. What cannot be swept is noted and left to the next sweep: it is
// in nobody's way.
func sweep(cfg *Config, root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, "run-*"))
	for _, dir := range dirs {
		owner, err := tryLock(filepath.Join(dir, "owner.lock"), false)
		if errors.Is(err, errLocked) {
			continue
		}
		if err == nil {
			err = endServer(filepath.Join(dir, "data"), Immediate)
		}
		if err == nil {
			err = os.RemoveAll(dir)
		}
		owner.unlock()
		if err != nil {
			cfg.note("devpg: sweep %s: %v", dir, err)
			continue
		}
		cfg.note("devpg: swept %s, left by a process that died", dir)
	}
}

func (e *ephemeralServer) data() string { return filepath.Join(e.dir, "data") }
func (e *ephemeralServer) log() string  { return filepath.Join(e.dir, "server.log") }

func (e *ephemeralServer) describe() description {
	e.mu.Lock()
	defer e.mu.Unlock()
	return description{
		url:      serverURL(e.port, e.password),
		dataDir:  e.data(),
		logFile:  e.log(),
		binaries: e.bin,
	}
}

// start runs the server, on another port when the one chosen first was taken
// before the server could bind it. Once started the port is kept: clients
// know it.
func (e *ephemeralServer) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child != nil && e.child.running() {
		if processWorksIn(e.child.cmd.Process.Pid, e.data()) {
			return nil
		}
		<-e.child.exited // it has ended, and is about to be reaped
	}
	if e.port != 0 {
		return e.launch(ctx, e.port)
	}
	for {
		port, err := choosePort()
		if err != nil {
			return err
		}
		err = e.launch(ctx, port)
		if err == nil {
			e.port = port
			return nil
		}
		if !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// launch makes one attempt to run the server on port.
func (e *ephemeralServer) launch(ctx context.Context, port int) error {
	if err := removeStalePidfile(e.data()); err != nil { // after a SIGKILL
		return err
	}
	if err := writeSettings(e.data(), e.acct, settings(e.cfg, port)); err != nil {
		return err
	}
	log, err := os.OpenFile(e.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	defer log.Close()
	fi, err := log.Stat()
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}

	cmd := command(e.bin, e.acct, e.dir, "postgres", "-D", e.data())
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	c, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("devpg: run %s: %w", cmd.Path, err)
	}
	err = awaitReady(ctx, serverURL(port, e.password), e.data(), c.exited)
	if err == nil {
		e.child = c
		return nil
	}
	err = errors.Join(err, c.stop(Immediate))
	said := logTail(e.log(), fi.Size())
	if saysPortTaken(said) {
		return fmt.Errorf("%w: 127.0.0.1:%d", errPortTaken, port)
	}
	return fmt.Errorf("devpg: start %s on %s: %w\n%s", cmd.Path, e.data(), err, indent([]byte(said)))
}

func (e *ephemeralServer) halt(how Shutdown) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return nil
	}
	if err := e.child.stop(how); err != nil {
		return err
	}
	e.child = nil
	return nil
}

// close shuts down, removes the directory and only then lets go of its lock,
// so that no sweep finds it half removed.
func (e *ephemeralServer) close() error {
	err := e.halt(Fast)
	if err == nil && e.dir != "" {
		err = os.RemoveAll(e.dir)
	}
	e.owner.unlock()
	if err != nil {
		return fmt.Errorf("devpg: stop: %w", err)
	}
	return nil
}
