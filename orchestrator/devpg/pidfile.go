package devpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is what a running server writes about itself in its data
// directory. The file also survives a crash, so it proves nothing by itself.
type postmaster struct {
	pid  int
	port int // 0 while the server has not written it yet
}

// readPidfile reads postmaster.pid: the process id, the data directory, the
// start time and the port, one a line.
func readPidfile(data string) (postmaster, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(b), "\n")
	var pm postmaster
	if pm.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil || pm.pid <= 1 {
		return postmaster{}, fmt.Errorf("devpg: %s names no process", filepath.Join(data, "postmaster.pid"))
	}
	if len(lines) > 3 {
		pm.port, _ = strconv.Atoi(strings.TrimSpace(lines[3]))
	}
	return pm, nil
}

// runningServer returns the server that runs on data, if one does: the pid
// file names it and the process itself confirms it.
func runningServer(data string) (postmaster, bool) {
	pm, err := readPidfile(data)
	if err != nil || !processWorksIn(pm.pid, data) {
		return postmaster{}, false
	}
	return pm, true
}

// endServer ends the server that runs on data, if one does, and waits until it
// has, pressing harder when a bound runs out. It serves for servers that are
// not children of this process: those of other processes, living or dead. No
// signal is sent on the word of a pid file alone.
func endServer(data string, how Shutdown) error {
	for _, step := range shutdownSteps(how) {
		pm, running := runningServer(data)
		if !running {
			return nil
		}
		if err := signalProcess(pm.pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("devpg: end server process %d of %s (%v): %w", pm.pid, data, step.signal, err)
		}
		if waitGone(pm.pid, data, step.bound) {
			return nil
		}
	}
	return fmt.Errorf("devpg: the server on %s does not end, not even after SIGKILL: look for it in an uninterruptible wait (ps -o stat)", data)
}

// waitGone polls, since a process that is not our child cannot be waited for.
func waitGone(pid int, data string, bound time.Duration) bool {
	deadline := time.Now().Add(bound)
	for processWorksIn(pid, data) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // there is no signal to wait for
	}
	return true
}

// removeStalePidfile removes what a crash of the machine left. PostgreSQL does
// so itself unless the process id was given to another process of the same
// user meanwhile, which it cannot tell from a server; we can.
func removeStalePidfile(data string) error {
	if _, running := runningServer(data); running {
		return fmt.Errorf("devpg: a server already runs on %s", data)
	}
	err := os.Remove(filepath.Join(data, "postmaster.pid"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}
