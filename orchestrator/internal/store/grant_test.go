package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// However many workers change their grants at the same moment, nobody decides
// by what another is about to change.
func TestGrantsNeverExceedTheTotal(t *testing.T) {
	t.Parallel()
	const total, workers, rounds = 10, 8, 40
	s := migrated(t)
	for id := range int64(workers) {
		_, err := s.Register(t.Context(), Worker{ID: id + 1, Lease: time.Hour, Slots: 5, Queues: []string{"q"}})
		require.NoError(t, err)
	}
	var greedy errgroup.Group
	for id := range int64(workers) {
		greedy.Go(func() error {
			for range rounds {
				done, err := s.Regrant(t.Context(), "q", id+1, func(_ int, shares []Share) (granted, wanted int) {
					left := total
					for _, one := range shares {
						if one.Worker != id+1 {
							left -= one.Granted
						}
					}
					if left < 0 {
						t.Errorf("more than the total is granted: %v", shares)
					}
					return rand.IntN(max(left, 0) + 1), 5
				})
				if err != nil {
					return err
				}
				if !done {
					t.Error("a registered worker was not granted anything")
				}
			}
			return nil
		})
	}
	require.NoError(t, greedy.Wait())
	done, err := s.Regrant(t.Context(), "q", 99, func(int, []Share) (int, int) { return 1, 1 })
	require.NoError(t, err)
	require.False(t, done, "it is not registered")
	require.NoError(t, s.Deregister(t.Context(), 1))
	c, err := s.Control(t.Context(), 2, []string{"q"})
	require.NoError(t, err)
	require.Len(t, c.Shares, workers-1, "a grant goes with its worker")
	require.NoError(t, s.DropGrant(t.Context(), "q", 2))
}
