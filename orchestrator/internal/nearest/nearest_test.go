package nearest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	known := []string{"email:send", "email:sends", "ledger:post", "a"}
	require.Equal(t, []string{"email:send", "email:sends"}, nearest.Names("email:sned", known, 3))
	require.Equal(t, []string{"email:send"}, nearest.Names("emial:send", known, 1))
	require.Empty(t, nearest.Names("video:encode", known, 3))
	require.Empty(t, nearest.Names("b", known, 3), "all of it would have to change")
	require.Empty(t, nearest.Names("", known, 3))
}
