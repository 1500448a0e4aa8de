package harness

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// Server starts a PostgreSQL of the test's own, for tests that take it down,
// and returns it with the URL of a migrated database.
func Server(t testing.TB) (server *devpg.Server, url string) {
	t.Helper()
	server, err := devpg.Start(t.Context(), devpg.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	Migrate(t, server.URL())
	return server, server.URL()
}

// Migrate creates the engine's tables.
func Migrate(t testing.TB, url string, config ...orchestrator.ClientConfig) {
	t.Helper()
	client, err := orchestrator.Open(t.Context(), url, config...)
	require.NoError(t, err)
	_, err = client.Migrator().Up(t.Context())
	require.NoError(t, err)
	require.NoError(t, client.Close())
}
