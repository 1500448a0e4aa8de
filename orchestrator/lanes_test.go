package orchestrator_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// A worker that never runs out of tasks is not told of those of other processes,
// and with many queues it seldom looks at every priority of each.
func TestBusyWorkerOfManyQueuesFindsANewPriority(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	open := func() *orchestrator.Client {
		client, err := orchestrator.Open(t.Context(), url, orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	}
	client, other := open(), open()
	queues := []string{echo.Queue.Name}
	for i := range 99 {
		queues = append(queues, fmt.Sprintf("other_%d", i))
	}
	busy, begun := make(chan struct{}), make(chan struct{})
	var first sync.Once
	enqueueMany(t, client, echo, 2000)
	mux := handle(echo, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		first.Do(func() { close(busy) })
		if task.Priority == 77 {
			close(begun)
			return nil, nil
		}
		select {
		case <-begun:
			return nil, nil
		default: // so that there is always something to do
			return nil, tryEnqueue(context.WithoutCancel(ctx), client, echo, `{}`)
		}
	})
	startWorker(t, client, mux, orchestrator.WorkerConfig{Queues: queues, PoolSize: 4})
	<-busy // the first look took in everything
	enqueue(t, other, echo, `{}`, orchestrator.WithQueue("other_50"), orchestrator.WithPriority(77))
	<-begun
}

func TestExpensiveLooksAreMadeLessOften(t *testing.T) {
	t.Parallel()
	for took, level := range map[time.Duration]int{0: 0, 5 * time.Millisecond: 0, 6 * time.Millisecond: 1, 20 * time.Millisecond: 1, 80 * time.Millisecond: 2, time.Minute: 3} {
		require.Equal(t, level, orchestrator.EveryQueueLevel(took), "%v", took)
	}
}
