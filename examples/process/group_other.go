//go:build !unix

package process

import "os/exec"

func group(*exec.Cmd) {}

func terminate(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func kill(*exec.Cmd) {}
