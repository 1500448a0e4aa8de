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

// endStray ends a server whose owner died, if one still runs on data, and
// waits until it has. It is never sent a signal on the word of a pid file
// alone.
func endStray(data string) error {
	for _, sig := range []syscall.Signal{signalImmediate, signalKill} {
		pm, running := runningServer(data)
		if !running {
			return nil
		}
		if err := signalProcess(pm.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("devpg: stop the stray server %d of %s with %v: %w", pm.pid, data, sig, err)
		}
		if waitGone(pm.pid, data, immediateBound) {
			return nil
		}
	}
	return fmt.Errorf("devpg: a stray server still runs on %s: end it and remove the directory", data)
}

// waitGone polls, since a process that is not our child cannot be waited for.
func waitGone(pid int, data string, bound time.Duration) bool {
	deadline := time.Now().Add(bound)
	for processWorksIn(pid, data) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}
