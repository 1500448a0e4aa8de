package orchestrator

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// withTotals are the queues of this worker that are limited over all workers.
func (c *control) withTotals() []string { return []string{} }

func (c *control) share(ctx context.Context, s *session, shares []store.Share) error { return nil }
