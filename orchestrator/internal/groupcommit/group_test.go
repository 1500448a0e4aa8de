package groupcommit_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/groupcommit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatArrivesDuringAFlushIsTheNextBatch(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	var batches [][]int
	g := groupcommit.New(func(batch []int) {
		batches = append(batches, append([]int(nil), batch...))
		begun <- struct{}{}
		<-proceed
	})
	g.Add(1)
	<-begun
	g.Add(2, 3)
	g.Add(4)
	proceed <- struct{}{}
	<-begun
	proceed <- struct{}{}
	g.Wait()
	require.Equal(t, [][]int{{1}, {2, 3, 4}}, batches)
}

func TestNothingIsLostOrDoneTwice(t *testing.T) {
	t.Parallel()
	const producers, each = 16, 5000 // more than may be pending, so Add blocks
	var seen [producers * each]atomic.Int32
	var flushing atomic.Int32
	g := groupcommit.New(func(batch []int) {
		if flushing.Add(1) != 1 {
			t.Error("two flushes at a time")
		}
		for _, n := range batch {
			seen[n].Add(1)
		}
		flushing.Add(-1)
	})
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			for i := range each {
				g.Add(p*each + i)
			}
		})
	}
	all.Wait()
	g.Wait()
	for n := range seen {
		require.Equal(t, int32(1), seen[n].Load())
	}
}

func TestWaitOnAnIdleGroupReturns(t *testing.T) {
	t.Parallel()
	groupcommit.New(func([]int) {}).Wait()
}
