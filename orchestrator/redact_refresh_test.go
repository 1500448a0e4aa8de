package orchestrator_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// Sensitive is no part of the fingerprint, so the contract stays the same one
// when a field becomes it; the stored schema must follow all the same.
func TestFieldThatBecomesSensitiveIsRedacted(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	before := version("v1:1", `{"type": "object", "properties": {"token": {"type": "string"}}}`)
	after := version("v1:1", `{"type": "object", "properties": {"token": {"type": "string", "x-sensitive": true}}}`)
	ref := enqueue(t, client, before, `{"token": "secret"}`)
	startWorker(t, client, handle(after, echoPayload), orchestrator.WorkerConfig{})
	_, err := result(t, ref)
	require.NoError(t, err)
	info, err := client.TaskInfo(t.Context(), ref.ID())
	require.NoError(t, err)
	redacted, err := client.Redacted(t.Context(), info)
	require.NoError(t, err)
	require.NotContains(t, string(redacted.Payload), "secret")
}
