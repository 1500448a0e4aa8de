package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A lost task that somebody wants cancelled is never ready again: nobody could
// start it before the request is looked at.
func TestRecoveryEndsWhatIsToBeCancelled(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim)
		VALUES (1, 1, 0, 'q', '{}', 1, 7, 1), (2, 1, 0, 'q', '{}', 1, 7, 1)`, `INSERT INTO orchestrator.cancel_requests (task_id, reason) VALUES (1, 'why')`)
	l, leads, err := s.Campaign(t.Context(), 9, time.Hour)
	require.NoError(t, err)
	require.True(t, leads)
	r, err := s.Recover(t.Context(), l, 10, true, func(int32, int16) int16 { return 5 }, nil)
	require.NoError(t, err)
	require.Equal(t, 1, r.Back)
	require.Equal(t, []Moved{{Type: "t", Queue: "q", N: 1}}, r.Cancelled)
	c, err := s.Control(t.Context(), 7, []string{})
	require.NoError(t, err)
	require.False(t, c.Settled, "the request is gone with its task")
}
