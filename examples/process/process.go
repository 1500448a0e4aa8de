package process

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// Command is [exec.CommandContext] for a program and all that it starts. When
// ctx ends they are asked to end; what has not after grace is killed. A worker
// that stops waits 5s for a cancelled handler, so grace is best below that.
//
// Run it with [Run], or with Start and [Wait].
func Command(ctx context.Context, grace time.Duration, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	group(cmd)
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = grace
	return cmd
}

// Run starts a [Command] and waits for it.
func Run(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	return Wait(cmd)
}

// Wait waits for a [Command] that was started, and kills what it has left
// behind: nothing of it runs when Wait returns.
func Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	kill(cmd)
	// Its children kept its output open, and are dead now.
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		return nil
	}
	return err
}
