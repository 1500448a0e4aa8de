package main

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// HandleOrderConfirm confirms the order and completes its task, both or neither.
// Should the worker be dead or cut off before the commit, neither has happened,
// and another worker does it.
func (s *shop) HandleOrderConfirm(ctx context.Context, t *generated.OrderConfirmTask) error {
	return s.client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return confirm(ctx, tx, t)
	})
}

func confirm(ctx context.Context, tx bun.Tx, t *generated.OrderConfirmTask) error {
	_, err := tx.NewUpdate().Model((*Order)(nil)).
		Set("confirmed_at = now()").
		Where("id = ?", t.Payload.OrderID).
		Exec(ctx)
	if err != nil {
		return err
	}
	return t.Complete(ctx, tx, orchestrator.None{})
}
