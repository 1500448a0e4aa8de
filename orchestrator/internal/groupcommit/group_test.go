package groupcommit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

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

func TestAsManyFlushesAtATimeAsAskedFor(t *testing.T) {
	t.Parallel()
	const most = 3
	begun, proceed := make(chan []int), make(chan struct{})
	g := groupcommit.NewParallel(most, func(batch []int) {
		begun <- append([]int(nil), batch...)
		<-proceed
	})
	for i := range most {
		g.Add(i)
		require.Equal(t, []int{i}, <-begun)
	}
	g.Add(most)
	g.Add(most + 1)
	proceed <- struct{}{}
	require.Equal(t, []int{most, most + 1}, <-begun)
	close(proceed)
	g.Wait()
}

func TestASecondFlushIsAsLargeAsTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, secondFlush)
}

func secondFlush(t *testing.T) {
	t.Helper()
	begun, proceed := make(chan []int), make(chan struct{})
	g := groupcommit.NewPair(func(batch []int) {
		begun <- append([]int(nil), batch...)
		<-proceed
	})
	g.Add(1, 2)
	require.Equal(t, []int{1, 2}, <-begun)
	nothingBegins := func() {
		t.Helper()
		synctest.Wait() // until all goroutines wait for something
		select {
		case batch := <-begun:
			t.Errorf("%v is flushed beside a flush of two", batch)
		default:
		}
	}
	g.Add(3)
	nothingBegins()
	g.Add(4)
	require.Equal(t, []int{3, 4}, <-begun)
	g.Add(5)
	proceed <- struct{}{}
	nothingBegins()
	proceed <- struct{}{}
	require.Equal(t, []int{5}, <-begun)
	close(proceed)
	g.Wait()
}

func TestAloneTakesThePlaceOfAFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, takePlace)
}

func takePlace(t *testing.T) {
	t.Helper()
	var batches [][]int
	g := groupcommit.New(func(batch []int) { batches = append(batches, append([]int(nil), batch...)) })
	require.True(t, g.Alone(func() {
		require.False(t, g.Alone(func() { t.Error("two are not alone") }))
		g.Add(1)
		g.Add(2)
		synctest.Wait()
		require.Empty(t, batches, "flushed beside it")
	}))
	g.Wait()
	require.Equal(t, [][]int{{1, 2}}, batches)
	require.True(t, g.Alone(func() {}), "nothing is left")
	require.Panics(t, func() { g.Alone(func() { panic("do") }) })
	require.True(t, g.Alone(func() {}), "a panic leaves nothing behind")
}

func TestAPairFlushesBesideAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, proceed := make(chan []int), make(chan struct{})
		g := groupcommit.NewPair(func(batch []int) {
			begun <- append([]int(nil), batch...)
			<-proceed
		})
		require.True(t, g.Alone(func() {
			g.Add(1)
			require.Equal(t, []int{1}, <-begun)
			g.Add(2, 3) // as many as are under way
			synctest.Wait()
			select {
			case batch := <-begun:
				t.Errorf("%v is a third flush", batch)
			default: // two are as many as may be at a time
			}
		}))
		require.Equal(t, []int{2, 3}, <-begun)
		close(proceed)
		g.Wait()
	})
}

func TestNothingIsLostOrDoneTwice(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		name string
		most int
		new  func(func([]int)) *groupcommit.Group[int]
	}{
		{"one", 1, groupcommit.New[int]},
		{"parallel", 2, func(flush func([]int)) *groupcommit.Group[int] { return groupcommit.NewParallel(2, flush) }},
		{"pair", 2, groupcommit.NewPair[int]},
	} {
		t.Run(of.name, func(t *testing.T) { t.Parallel(); nothingIsLost(t, of.most, of.new) })
	}
}

func nothingIsLost(t *testing.T, most int, newGroup func(func([]int)) *groupcommit.Group[int]) {
	t.Helper()
	const producers, each = 16, 5000 // more than may be pending, so Add blocks
	var seen [producers * each]atomic.Int32
	var flushing atomic.Int32
	flush := func(batch []int) {
		if n := flushing.Add(1); int(n) > most {
			t.Errorf("%d flushes at a time", n)
		}
		for _, n := range batch {
			seen[n].Add(1)
		}
		flushing.Add(-1)
	}
	g := newGroup(flush)
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			for i := range each {
				if item := p*each + i; !g.Alone(func() { flush([]int{item}) }) {
					g.Add(item)
				}
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
