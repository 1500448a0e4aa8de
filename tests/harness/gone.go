package harness

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// AwaitGone returns when a process has ended. One that nobody has reaped yet
// has: an orphan in a container may stay a zombie.
func AwaitGone(t testing.TB, pid int) {
	t.Helper()
	Await(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(status), ") Z ")
	})
}
