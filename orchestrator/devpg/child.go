package devpg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// child is a server process that this process started and will reap.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed after the process was reaped
}

// startChild starts cmd and a goroutine that owns it until it exits.
//
// On Linux the kernel signals a child when the *thread* that forked it ends,
// so that thread has to live as long as the child: the goroutine locks itself
// to it, forks, and stays to wait. It returns still locked, which ends the
// thread with it.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(c.exited)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log; stop and launch report it
		}
	}()
	if err := <-started; err != nil {
		<-c.exited
		return nil, err
	}
	return c, nil
}

func (c *child) running() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// stop shuts the server down and returns when it was reaped.
func (c *child) stop(how Shutdown) error {
	for _, step := range shutdownSteps(how) {
		if !c.running() {
			return nil
		}
		_ = c.cmd.Process.Signal(step.signal) // fails only when it exited meanwhile
		bound := time.NewTimer(step.bound)
		select {
		case <-c.exited:
			bound.Stop()
			return nil
		case <-bound.C:
		}
	}
	return fmt.Errorf("devpg: server process %d does not end, not even after SIGKILL: look for it in an uninterruptible wait (ps -o stat)", c.cmd.Process.Pid)
}

// serverEnv is the environment of every PostgreSQL program we run: ours
// without the variables that would point it at another server, and with
// messages in English, since some are read.
func serverEnv(bin Binaries) []string {
	env := make([]string, 0, 16)
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "LANGUAGE" || name == "TZ" {
			continue
		}
		env = append(env, kv)
	}
	env = append(env, "LC_ALL=C", "TZ=UTC")
	if bin.libDir != "" {
		env = append(env, "LD_LIBRARY_PATH="+bin.libDir)
	}
	return env
}

// command prepares one of PostgreSQL's programs. It runs in dir, because the
// caller's working directory may be closed to the server's user.
func command(bin Binaries, acct account, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin.program(program), args...)
	cmd.Dir = dir
	cmd.Env = serverEnv(bin)
	acct.prepare(cmd)
	return cmd
}

// runBounded runs a short-lived program to its end and returns everything it
// wrote. When ctx ends first, the program and what it started are killed and
// ctx's cause is returned.
func runBounded(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe a moment longer
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = signalGroup(cmd.Process.Pid, signalKill) })
	err := cmd.Wait()
	if !stop() && ctx.Err() != nil {
		return out.Bytes(), context.Cause(ctx)
	}
	return out.Bytes(), err
}
