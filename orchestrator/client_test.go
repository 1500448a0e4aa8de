package orchestrator_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// Compiling a statement takes longer than the engine's statements do. A pooler
// in transaction mode would give the setting to whoever has the connection next.
func TestStatementsAreNotCompiled(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t) + "&jit=on"
	for jit, config := range map[string]orchestrator.ClientConfig{"off": {}, "on": {TransactionPooler: true}} {
		client, err := orchestrator.Open(t.Context(), url, config)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		var is string
		require.NoError(t, client.DB().QueryRowContext(t.Context(), `SHOW jit`).Scan(&is))
		require.Equal(t, jit, is)
	}
}
