package orchestrator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// A queue that is never empty must not keep the slots of a pool from another
// one whose tasks are as urgent; a more urgent task goes before both.
func TestQueuesThatAreEquallyUrgentTakeTurns(t *testing.T) {
	t.Parallel()
	p := newPool(&Worker{client: &Client{}, routes: &routing{queues: []*Queue{{Name: "a"}, {Name: "b"}, {Name: "c"}}}})
	buffer := func(queue string, priority int16) {
		p.queues[queue].buffer = append(p.queues[queue].buffer, &job{Claimed: &store.Claimed{LaneKey: store.LaneKey{Queue: queue, Priority: priority}}})
		p.buffered++
	}
	buffer("b", 1)
	for range 9 {
		buffer("a", 0)
		buffer("c", 0)
	}
	require.Equal(t, "b", p.take().Queue)
	taken := map[string]int{}
	for range 9 {
		taken[p.take().Queue]++
	}
	require.GreaterOrEqual(t, taken["a"], 3)
	require.GreaterOrEqual(t, taken["c"], 3)
}
