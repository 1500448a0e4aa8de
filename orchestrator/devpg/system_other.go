//go:build !linux && !darwin

package devpg

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// The package builds everywhere, so that the command that imports it does;
// starting servers is for Linux and macOS. Elsewhere a DATABASE_URL is needed.

var errUnsupported = errors.New("devpg: a private PostgreSQL cannot be started on " + runtime.GOOS +
	": set DATABASE_URL to a server of your own")

var errLocked = errors.New("devpg: locked by another process")

type account struct {
	name     string
	uid, gid int
	switched bool
}

func serverAccount() (account, error)   { return account{}, errUnsupported }
func (a account) own(string) error      { return nil }
func (a account) prepare(cmd *exec.Cmd) {}

const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
	signalKill      = syscall.SIGKILL
)

func signalProcess(int, syscall.Signal) error { return errUnsupported }
func signalGroup(int, syscall.Signal) error   { return errUnsupported }
func processWorksIn(int, string) bool         { return false }
func dieWithParent(*exec.Cmd)                 {}

type fileLock struct{}

func tryLock(string, bool) (*fileLock, error)             { return nil, errUnsupported }
func waitLock(context.Context, string) (*fileLock, error) { return nil, errUnsupported }
func (l *fileLock) unlock()                               {}
func freeBytes(string) uint64                             { return 0 }
func ownedByCaller(os.FileInfo) bool                      { return false }
