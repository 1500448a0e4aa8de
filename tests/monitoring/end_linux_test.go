package monitoring_test

import "syscall"

// endWithParent kills a child whose parent has died, as when a test times out.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
