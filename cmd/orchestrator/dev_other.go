//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// childGroup is the command alone where there are no process groups.
type childGroup struct{ child *exec.Cmd }

func newChildGroup(child *exec.Cmd, _ bool) *childGroup { return &childGroup{child} }

func (g *childGroup) forward(s os.Signal) { _ = g.child.Process.Signal(s) }

func (g *childGroup) wait() {}

func statusOf(state *os.ProcessState) int { return state.ExitCode() }
