//go:build !linux

package monitoring_test

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
