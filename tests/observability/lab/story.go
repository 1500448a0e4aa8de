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
		found, sent := 0, false
		for _, t := range traces {
			found += len(t.Named("process mail"))
			sent = sent || len(t.Named("POST /users")) > 0
		}
		if found < attempts || !sent {
			return fmt.Errorf("%d attempts of %d, enqueued: %t", found, attempts, sent)
		}
		return nil
	})
	return traces, err
}
