//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// childGroup is the processes of a command: `go run` dies of a SIGTERM without
// passing it on to the program that it runs, so signals go to all of them.
//
// At a terminal they stay in our own group. The terminal itself then sends
// Ctrl-C to all, and programs that read from it (psql) may.
type childGroup struct {
	child    *exec.Cmd
	terminal bool
}

func newChildGroup(child *exec.Cmd, terminal bool) *childGroup {
	if !terminal {
		child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	return &childGroup{child, terminal}
}

func (g *childGroup) forward(s os.Signal) {
	if !g.terminal {
		_ = syscall.Kill(-g.child.Process.Pid, s.(syscall.Signal)) // gone is fine
		return
	}
	if s != os.Interrupt {
		_ = g.child.Process.Signal(s)
	}
}

// wait returns when the whole group has ended: a program may drain for a while
// after its `go run` has died, and needs the database for it.
func (g *childGroup) wait() {
	if g.terminal {
		return
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for syscall.Kill(-g.child.Process.Pid, 0) == nil {
		<-ticker.C
	}
}

// statusOf is the exit status a shell would give.
func statusOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
