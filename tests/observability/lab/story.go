package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
)

// OfTask is the query for the traces of one task, of Jaeger's search.
func OfTask(task string) url.Values {
	tags, err := json.Marshal(map[string]string{"orchestrator.task.id": task})
	if err != nil {
		panic(err) // a map of strings
	}
	return url.Values{"service": {"shop-worker"}, "tags": {string(tags)}}
}

// AwaitTask waits until the spans of as many attempts of a task are in Jaeger,
// and returns their traces, which hold what enqueued it too.
func (j *Jaeger) AwaitTask(ctx context.Context, task string, attempts int) (traces []Trace, err error) {
	err = until(ctx, j.process, "wait for the spans of task "+task, func(ctx context.Context) (err error) {
		if traces, err = j.Search(ctx, OfTask(task)); err != nil {
			return err
		}
		// Spans of one batch come into Jaeger one after the other, in no order.
		for name, want := range map[string]int{"POST /users": 1, "send mail": 1, "process mail": attempts, "smtp deliver": attempts} {
			found := 0
			for _, t := range traces {
				found += len(t.Named(name))
			}
			if found < want {
				return fmt.Errorf("%d spans %q of %d", found, name, want)
			}
		}
		return nil
	})
	return traces, err
}
