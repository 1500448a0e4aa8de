package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// Complete finishes the task as succeeded in the handler's own transaction, so
// that the task is done exactly when the caller's rows are there. The handler
// then commits; what it returns afterwards is ignored. If the transaction is
// not committed the attempt has failed.
//
// It returns [ErrLeaseLost], and changes nothing, when the worker does not hold
// the task any more: then roll back.
func (t *Task[P, R]) Complete(ctx context.Context, tx Tx, result R) error {
	var text []byte
	if t.Encode != nil {
		var err error
		if text, err = t.Encode(result); err != nil {
			return err
		}
	}
	return complete(ctx, &t.Meta, tx, text)
}

// Complete is [Task.Complete] for an untyped handler; result is JSON or nil.
func (r *Raw) Complete(ctx context.Context, tx Tx, result []byte) error {
	return complete(ctx, &r.Meta, tx, result)
}

func complete(ctx context.Context, m *Meta, tx Tx, result []byte) error {
	a := m.attempt
	if a == nil {
		return errors.New("orchestrator: Complete on a task that no worker runs")
	}
	if err := checkResult(result); err != nil {
		return err
	}
	q, err := a.job.w.client.querierOf(tx)
	if err != nil {
		return err
	}
	kept := a.job.route.definition.retention()
	h, done, err := a.job.w.client.store.CompleteIn(ctx, q, a.job.fence(), string(result), kept, slotTotal(a.job.route.definition))
	if store.NoPartition(err) {
		// The caller's transaction has failed; the next attempt's shall not.
		err = errors.Join(err, a.job.w.finisher.addHistoryDays(kept))
	}
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("complete task %s: %w", m.ID, ErrLeaseLost)
	}
	a.handed = &h
	a.completed.Store(true)
	return nil
}
