package orchestrator

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

func TestFairShares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total  int
		wanted []int // each worker has 10 slots
		want   []int
	}{
		"alone":                      {4, []int{10}, []int{4}},
		"what cannot be divided":     {4, []int{10, 10, 10}, []int{2, 1, 1}},
		"fewer than workers":         {1, []int{10, 10, 10}, []int{1, 0, 0}},
		"who wants goes first":       {1, []int{0, 10, 0}, []int{0, 1, 0}},
		"the rest is shared out too": {8, []int{0, 2, 0}, []int{2, 4, 2}},
		"nobody gets more than fits": {100, []int{10, 0}, []int{10, 10}},
	} {
		var shares []store.Share
		for i, wanted := range c.wanted {
			shares = append(shares, store.Share{Worker: int64(i), Slots: 10, Taking: true, Wanted: wanted})
		}
		var got []int
		for i, wanted := range c.wanted {
			got = append(got, use{total: c.total, perWorker: 10, capacity: 10, wanted: wanted, taking: true}.fair(int64(i), shares))
		}
		require.Equal(t, c.want, got, name)
	}
}

// Whatever workers see, if they see the same their shares add up to no more
// than the total, and to the total where they could run as much.
func TestFairSharesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 50).Draw(t, "total")
		var shares []store.Share
		capacity := rapid.IntRange(1, 20).Draw(t, "capacity")
		most := 0
		for i := range rapid.IntRange(1, 8).Draw(t, "workers") {
			one := store.Share{Worker: int64(i), Slots: rapid.IntRange(1, 20).Draw(t, "slots"), Taking: rapid.Bool().Draw(t, "taking")}
			one.Wanted = rapid.IntRange(0, min(one.Slots, capacity)).Draw(t, "wanted")
			if one.Taking {
				most += min(one.Slots, capacity)
			}
			shares = append(shares, one)
		}
		sum := 0
		for _, one := range shares {
			u := use{total: total, perWorker: capacity, capacity: min(one.Slots, capacity), wanted: one.Wanted, taking: one.Taking}
			sum += u.fair(one.Worker, shares)
		}
		if want := min(total, most); sum != want {
			t.Fatalf("shares add up to %d, want %d", sum, want)
		}
	})
}

// What was granted to a session that is lost starts nothing, whenever the
// answer of the statement that granted it comes.
func TestGrantsOfALostSessionAreWorthNothing(t *testing.T) {
	t.Parallel()
	w := &Worker{client: &Client{}, routes: &routing{queues: []*Queue{{Name: "q", PerWorker: 10, Total: 4}}}}
	p := newPool(w)
	require.Zero(t, p.queues["q"].limit(), "before the first grant")
	first, second := &session{}, &session{}
	p.grant(first, "q", 3)
	require.Equal(t, 3, p.queues["q"].limit())
	first.gone.Store(true)
	p.drop(first)
	require.Zero(t, p.queues["q"].limit())
	p.grant(first, "q", 3)
	require.Zero(t, p.queues["q"].limit())
	p.grant(second, "q", 2)
	require.Equal(t, 2, p.queues["q"].limit())
	require.Zero(t, p.lower("q", 1))
	require.Equal(t, 1, p.queues["q"].limit())
}
