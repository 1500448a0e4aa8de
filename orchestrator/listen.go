package orchestrator

import (
	"context"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// listen turns notifications into wakeups until ctx ends. It is a convenience:
// while it is not connected the claimer polls.
func (w *Worker) listen(ctx context.Context) {
	if w.config.PollOnly || w.client.transactionPooler {
		return
	}
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 10*time.Second) {
		err := w.listenOnce(ctx, func() { pause = 100 * time.Millisecond })
		if ctx.Err() != nil {
			return
		}
		w.logger.Debug("not listening for notifications; polling until reconnected", "error", err)
		waitFor(ctx.Done(), pause)
	}
}

func (w *Worker) listenOnce(ctx context.Context, connected func()) error {
	conn, err := w.client.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closeCtx)
	}()
	if err := w.client.store.Listen(ctx, conn); err != nil {
		return err
	}
	connected()
	w.control.wake() // for what it was not told of meanwhile
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload == store.ControlChanged {
			w.control.wake()
		} else if l, ok := parseLane(n.Payload); ok {
			w.wake(l)
		}
	}
}
