package store

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// grant is what one take was granted, at the bucket's time.
type grant struct {
	at time.Time
	n  int
}

// requireAtMost checks the promise of a token bucket: in no window does it
// grant more than it holds and what comes meanwhile.
func requireAtMost(t *testing.T, grants []grant, burst, perSecond float64) {
	t.Helper()
	slices.SortFunc(grants, func(a, b grant) int { return a.at.Compare(b.at) })
	for i := range grants {
		total := 0
		for _, g := range grants[i:] {
			total += g.n
			window := g.at.Sub(grants[i].at)
			// A millionth is what rounding loses.
			require.LessOrEqual(t, float64(total), burst+perSecond*window.Seconds()+1e-6, "in %s", window)
		}
	}
}

// Whoever takes, and gives back, at the same time: no window has more than
// burst + rate·t, and nothing is granted that was not asked for.
func TestBucketsNeverGrantTooMuch(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	const burst, perSecond, takers, takes = 7, 400, 8, 60
	var mu sync.Mutex
	grants := map[string][]grant{}
	var all sync.WaitGroup
	for range takers {
		all.Go(func() {
			for i := range takes {
				both := []Take{
					{Key: "task:b", Count: perSecond, Per: time.Second, Burst: burst, Want: int32(1 + i%5)},
					{Key: "queue:a", Count: perSecond * 60, Per: time.Minute, Burst: burst, Want: 3},
				}
				taken, at, err := s.TakeTokens(t.Context(), both)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, one := range both {
					grants[one.Key] = append(grants[one.Key], grant{at, int(taken[one.Key].Granted)})
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, of := range grants {
		require.Len(t, of, takers*takes)
		for _, g := range of {
			require.GreaterOrEqual(t, g.n, 0)
			require.LessOrEqual(t, g.n, 5)
		}
		requireAtMost(t, of, burst, perSecond)
	}
}

func TestBucketHoldsItsBurst(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	// An hour fills nothing that this test would notice.
	ask := func(want int32) Taken {
		taken, _, err := s.TakeTokens(t.Context(), []Take{{Key: "task:t", Count: 1, Per: 1000 * time.Hour, Burst: 5, Want: want}})
		require.NoError(t, err)
		return taken["task:t"]
	}
	require.Equal(t, int32(3), ask(3).Granted, "it is full at first")
	require.Equal(t, int32(2), ask(3).Granted, "what is there")
	require.Zero(t, ask(3).Granted)
	require.Equal(t, int32(-2), ask(-2).Granted, "given back")
	require.Equal(t, int32(2), ask(9).Granted)
	require.InDelta(t, 5, ask(-100).Left, 1e-5, "no more than it holds, whatever is given back")
	require.Equal(t, int32(5), ask(9).Granted)

	// Long idle, it is full again and not fuller.
	fill(t, s, `UPDATE orchestrator.rate_buckets SET updated_at = updated_at - interval '1 year'`)
	require.Equal(t, int32(5), ask(9).Granted)

	// The database's clock goes back by an hour: the bucket does not wait for
	// it to catch up.
	fill(t, s, `UPDATE orchestrator.rate_buckets SET updated_at = now() + interval '1 hour'`)
	require.Zero(t, ask(1).Granted)
	fill(t, s, `UPDATE orchestrator.rate_buckets SET updated_at = updated_at - interval '1 year'`)
	require.Equal(t, int32(5), ask(9).Granted)
}
