package orchestrator

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// bufferOne is add without starting anything.
func (p *pool) bufferOne(queue string, priority int16) {
	s := p.queues[queue]
	s.buffer = append(s.buffer, &job{Claimed: &store.Claimed{LaneKey: &store.LaneKey{Queue: queue, Priority: priority}}})
	p.highest = max(p.highest, priority)
	p.buffered++
}

// A queue that is never empty must not keep the slots of a pool from another
// one whose tasks are as urgent; a more urgent task goes before both.
func TestQueuesThatAreEquallyUrgentTakeTurns(t *testing.T) {
	t.Parallel()
	p := newPool(&Worker{client: &Client{}, routes: &routing{queues: []*Queue{{Name: "a"}, {Name: "b"}, {Name: "c"}}}})
	buffer := p.bufferOne
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

// A more urgent task that had to wait for a slot of its queue goes first when
// there is one, wherever the pool looks first.
func TestUrgentTaskIsTakenWhenItsQueueHasASlotAgain(t *testing.T) {
	t.Parallel()
	for range 4 { // which queue is looked at first
		p := newPool(&Worker{client: &Client{}, routes: &routing{queues: []*Queue{{Name: "a", PerWorker: 1}, {Name: "b"}, {Name: "c"}}}})
		for range 8 {
			p.bufferOne("a", 5)
			p.bufferOne("b", -1)
			p.bufferOne("c", 0)
		}
		end := func(j *job) {
			p.active = p.active[:len(p.active)-1]
			p.queues[j.Queue].running--
		}
		for lower := range 8 {
			urgent := p.take()
			require.Equal(t, "a", urgent.Queue)
			for range lower {
				j := p.take()
				require.Equal(t, "c", j.Queue, "a has no slot")
				end(j)
				p.bufferOne("c", 0)
			}
			end(urgent)
		}
		for range 8 {
			require.Equal(t, "c", p.take().Queue)
		}
		require.Equal(t, "b", p.take().Queue)
	}
}

// With many queues each has little in the buffer, and together they may have
// enough: then the pool asks for more when half of it is gone, not at every task.
func TestQueuesTogetherWantFewLargeClaims(t *testing.T) {
	t.Parallel()
	var queues []*Queue
	for i := range 100 {
		queues = append(queues, &Queue{Name: fmt.Sprint("q", i)})
	}
	p := newPool(&Worker{client: &Client{}, config: WorkerConfig{PoolSize: 10}, routes: &routing{queues: queues}})
	p.aheadIs(1000)
	for _, q := range queues {
		for range 8 {
			p.bufferOne(q.Name, 0)
		}
	}
	wants, _ := p.wants()
	require.Empty(t, wants, "800 of 1000 are there")
	j := p.take()
	for p.buffered > 500 {
		require.Empty(t, p.room)
		j = p.done(j)
	}
	require.Len(t, p.room, 1)
	wants, total := p.wants()
	require.Len(t, wants, 100)
	require.Equal(t, 10-1-500+1000, total)
}

// What a queue has claimed and may not start yet keeps no other from its tasks.
func TestQueueAtItsLimitHoldsUpNoClaims(t *testing.T) {
	t.Parallel()
	p := newPool(&Worker{client: &Client{}, config: WorkerConfig{PoolSize: 10}, routes: &routing{queues: []*Queue{{Name: "slow", PerWorker: 1}, {Name: "fast"}}}})
	p.aheadIs(1000)
	for range 800 {
		p.bufferOne("slow", 0)
	}
	require.NotNil(t, p.take())
	wants, _ := p.wants()
	require.Contains(t, wants, "fast")
	require.NotContains(t, wants, "slow")
}

func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPool(&Worker{client: &Client{}, config: WorkerConfig{PoolSize: 3 * maxClaim}, routes: &routing{queues: []*Queue{{Name: "q"}}}})
	_, total := p.wants()
	require.Equal(t, maxClaim, total)
}

// aheadIs makes the pool keep a buffer of n.
func (p *pool) aheadIs(n int) {
	p.prefetch.ends = endRate{rate: float64(n) / prefetchMargin, since: time.Now().Add(time.Hour)} // measured again in an hour
}
