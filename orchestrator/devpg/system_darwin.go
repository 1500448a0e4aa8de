package devpg

import (
	"os/exec"
	"strconv"
	"strings"
)

// dieWithParent does nothing: only Linux ties a child to its parent's life.
// Elsewhere the next start sweeps up what a killed one left.
func dieWithParent(*exec.Cmd) {}

// processWorksIn reports whether process pid was started as a server of the
// data directory dir, judged by its command line: we always name it there.
func processWorksIn(pid int, dir string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), dir)
}
