//go:build linux || darwin

package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// account is the operating system user that PostgreSQL runs as when it may
// not run as the caller: PostgreSQL refuses to start as root. The zero
// account means "as the caller".
type account struct {
	name     string
	uid, gid int
	switched bool
}

// serverAccount decides which user runs PostgreSQL. Only root has to (and is
// able to) switch. The postgres user exists wherever a package installed the
// server; nobody exists everywhere else.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID != nil || errGID != nil {
			continue
		}
		return account{name: name, uid: uid, gid: gid, switched: true}, nil
	}
	return account{}, errors.New("devpg: PostgreSQL does not run as root, and this system has neither a user postgres " +
		"nor a user nobody to run it as: create one (useradd --system postgres) or run as a plain user")
}

// own hands path to the account. The caller's own files need no handing over.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// prepare makes cmd run as the account and in a process group of its own, so
// that Ctrl-C in a terminal reaches the program under test and not the
// database under it.
func (a account) prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{}}
	}
}

// The signals of PostgreSQL's shutdown modes, and the one it cannot refuse.
const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
	signalKill      = syscall.SIGKILL
)

func signalProcess(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// signalGroup signals a process that prepare gave a group, and its children.
func signalGroup(pid int, sig syscall.Signal) error { return syscall.Kill(-pid, sig) }

// fileLock is an advisory lock on a file. The kernel drops it when its holder
// dies, however it dies, which is what makes it a truthful sign of life where
// a recorded process id is only a guess. The descriptor is close-on-exec, so
// the servers we start do not inherit the lock.
type fileLock struct{ f *os.File }

// errLocked says that another process holds the lock.
var errLocked = errors.New("devpg: locked by another process")

// tryLock takes the lock at path, or returns errLocked at once.
func tryLock(path string, shared bool) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("devpg: open lock file: %w", err)
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return &fileLock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("devpg: lock %s: %w", path, err)
}

// waitLock takes the exclusive lock at path, waiting for its holder. It polls
// because a blocking flock could not be given up when ctx ends.
func waitLock(ctx context.Context, path string) (*fileLock, error) {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		l, err := tryLock(path, false)
		if !errors.Is(err, errLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("devpg: wait for the process that holds %s: %w", path, context.Cause(ctx))
		case <-retry.C:
		}
	}
}

// unlock releases the lock. The file stays: removing it would let two
// processes lock two different files of the same name.
func (l *fileLock) unlock() {
	if l != nil {
		l.f.Close()
	}
}

// freeBytes is the space an unprivileged user may still use at path, 0 when
// path does not exist.
func freeBytes(path string) uint64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0
	}
	return uint64(st.Bavail) * uint64(st.Bsize) //nolint:unconvert // signed on some systems
}

// ownedByCaller reports whether a file belongs to the user we run as.
func ownedByCaller(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
