package devpg

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// dieWithParent asks the kernel to stop the child when the thread that forks
// it ends: the last line against servers that outlive a killed test.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT }

// processWorksIn reports whether process pid is a server of the data directory
// dir, and not a stranger that was given a recycled id. It reads the command
// line, on which we always name the directory: the working directory would be
// as good, but root in a container may not look at another user's.
func processWorksIn(pid int, dir string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(bytes.Split(line, []byte{0}), func(arg []byte) bool { return string(arg) == dir })
}
