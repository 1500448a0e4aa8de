package workload

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// Idle is what a worker with nothing to do took.
type Idle struct {
	CPU time.Duration `json:"cpu"` // in Spec.For
}

// idle runs a worker that has nothing to do. It is ready when it has been idle
// for a while, tells what CPU time Spec.For took from then on, and goes on until
// it is stopped: its end is no business of the others'.
func idle(ctx context.Context, spec Spec, link *lab.Link) (result Idle, err error) {
	err = connected(ctx, spec, func(client *orchestrator.Client) error {
		return worker(ctx, client, spec, func() {}, func(ctx context.Context) error {
			if err := wait(ctx, spec.Every); err != nil {
				return err
			}
			before := ownCPU()
			if err := link.Ready(); err != nil {
				return err
			}
			if err := wait(ctx, spec.For); err != nil {
				return err
			}
			result.CPU = ownCPU() - before
			select {
			case <-link.Stopped():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return result, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ownCPU is this process's user and system time.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// residentMemory is this process's, where there is a /proc.
func residentMemory() (bytes int64, known bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
