package orchestrator_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// How long after Client.Cancel was called, in another process, a running
// handler's context ends.
//
//	go test ./orchestrator -run '^$' -bench CancelRunning -benchtime 3x
func BenchmarkCancelRunning(b *testing.B) {
	const tasks = 200
	quiet := orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)}
	for name, config := range map[string]orchestrator.WorkerConfig{
		"listening": {PoolSize: tasks},
		"polling":   {PoolSize: tasks, PollOnly: true},
	} {
		b.Run(name, func(b *testing.B) {
			url := orchestratortest.DB(b)
			open := func() *orchestrator.Client {
				client, err := orchestrator.Open(b.Context(), url, quiet)
				require.NoError(b, err)
				b.Cleanup(func() { require.NoError(b, client.Close()) })
				return client
			}
			client, people := open(), open()
			begun := make(chan struct{}, tasks)
			var mu sync.Mutex
			ended := map[orchestrator.TaskID]time.Time{}
			wide := variant("test:wide", func(d *orchestrator.Definition) { d.Queue = &orchestrator.Queue{Name: "wide", PerWorker: tasks} })
			ctx, stop := context.WithCancel(b.Context())
			stopped := make(chan error, 1)
			go func() {
				stopped <- orchestrator.NewWorker(client, handle(wide, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
					begun <- struct{}{}
					<-ctx.Done()
					at := time.Now()
					mu.Lock()
					ended[task.ID] = at
					mu.Unlock()
					return nil, ctx.Err()
				}), config).Run(ctx)
			}()
			batch := make([]orchestrator.Request, tasks)
			for i := range batch {
				batch[i] = orchestrator.Request{Definition: wide, Payload: []byte(`{}`)}
			}
			var took []float64
			for b.Loop() {
				refs, err := client.Enqueue(b.Context(), batch)
				require.NoError(b, err)
				for range tasks {
					<-begun
				}
				asked := map[orchestrator.TaskID]time.Time{}
				for _, ref := range refs {
					asked[ref.ID()] = time.Now()
					_, err := people.Cancel(b.Context(), ref.ID(), "")
					require.NoError(b, err)
				}
				for _, ref := range refs {
					_, err := people.WaitResult(b.Context(), ref)
					require.Error(b, err)
				}
				mu.Lock()
				for id, at := range asked {
					took = append(took, ended[id].Sub(at).Seconds()*1000)
				}
				mu.Unlock()
			}
			stop()
			require.NoError(b, <-stopped)
			b.ReportMetric(median(took), "ms-p50")
			b.ReportMetric(slices.Max(took), "ms-max")
			b.ReportMetric(0, "ns/op")
		})
	}
}
