package contest

import (
	"context"
	"sync"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// PlainPool is goroutines that take from a channel and sleep as the tasks of a
// [Shape] do, without a database: what a queue cannot be faster than.
func PlainPool() Contestant {
	return Contestant{Name: "plain Go pool", jobs: map[string]lab.Job{"drain": lab.JobOf(drainPlain)}}
}

func drainPlain(_ context.Context, spec Spec, _ *lab.Link) (Timed, error) {
	numbers := make(chan int64)
	var pool sync.WaitGroup
	return timed(func() (int, error) {
		for range spec.Pool {
			pool.Go(func() {
				for number := range numbers {
					sleepFor(number)
				}
			})
		}
		for i := range spec.Tasks {
			numbers <- userID(i)
		}
		close(numbers)
		pool.Wait()
		return spec.Tasks, nil
	})
}
