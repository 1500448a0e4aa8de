package contest

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// work runs a worker until it is stopped, and notes its memory every so often.
func work(ctx context.Context, q queue, spec Spec, link *lab.Link) (result Worked, err error) {
	var n atomic.Int64
	err = working(ctx, q, handlers{noop: func() { n.Add(1) }}, func(ctx context.Context) error {
		if err := link.Ready(); err != nil {
			return err
		}
		var tick <-chan time.Time
		if spec.Every > 0 {
			ticker := time.NewTicker(spec.Every)
			defer ticker.Stop()
			tick = ticker.C
		}
		for {
			select {
			case <-tick:
				if bytes, known := residentMemory(); known {
					result.Memory = append(result.Memory, bytes)
				}
			case <-link.Stopped():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	result.Tasks = int(n.Load())
	return result, err
}

// idle runs a worker that has nothing to do. It is ready when it has come to
// rest, tells what CPU time Spec.For took from then on, and goes on until it is
// stopped: its end is no business of the others'.
func idle(ctx context.Context, q queue, spec Spec, link *lab.Link) (result Idle, err error) {
	err = working(ctx, q, handlers{noop: func() {}}, func(ctx context.Context) error {
		if err := until(ctx, time.Now().Add(spec.Rest)); err != nil {
			return err
		}
		before := ownCPU()
		if err := link.Ready(); err != nil {
			return err
		}
		if err := until(ctx, time.Now().Add(spec.For)); err != nil {
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
	return result, err
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
