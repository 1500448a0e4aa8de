package orchestrator_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// version is a version of one task type whose payload has the schema given.
func version(fingerprint, schema string) *orchestrator.Definition {
	return variant("test:evolving", func(d *orchestrator.Definition) { d.Fingerprint, d.PayloadSchema = fingerprint, schema })
}

func TestWorkerRunsTasksOfAnOlderContractThatItUnderstands(t *testing.T) {
	t.Parallel()
	v1 := version("v1:1", `{"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}`)
	v2 := version("v1:2", `{"type": "object", "properties": {"to": {"type": "string"}, "cc": {"type": "string"}}, "required": ["to"]}`)
	v3 := version("v1:3", `{"type": "object", "properties": {"to": {"type": "string"}, "cc": {"type": "string"}}, "required": ["to", "cc"]}`)
	client := orchestratortest.Client(t)
	old := enqueue(t, client, v1, `{"to": "a"}`)
	stop := startWorker(t, client, handle(v3, echoPayload), quick)
	newest := enqueue(t, client, v3, `{"to": "a", "cc": "b"}`)
	_, err := result(t, newest)
	require.NoError(t, err)
	stop()
	require.Equal(t, "ready", rowOf(t, client, old.ID()).State) // cc was not required of it: not run, not discarded

	startWorker(t, client, handle(v2, echoPayload), quick)
	got, err := result(t, old)
	require.NoError(t, err)
	require.Equal(t, `{"to": "a"}`, got)
	foreign := enqueue(t, client, version("v1:4", `{"type": "object", "properties": {"to": {"type": "integer"}}}`), `{"to": 1}`)
	_, err = result(t, enqueue(t, client, v2, `{"to": "b"}`))
	require.NoError(t, err)
	require.Equal(t, "ready", rowOf(t, client, foreign.ID()).State)
}

func echoPayload(_ context.Context, task *orchestrator.Raw) ([]byte, error) { return task.Payload, nil }

func TestUnknownTypeWaits(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	stranger := enqueue(t, client, variant("test:stranger", func(*orchestrator.Definition) {}), `{}`)
	startWorker(t, client, handle(echo, echoPayload), quick)
	for range 3 {
		_, err := result(t, enqueue(t, client, echo, `{}`))
		require.NoError(t, err)
	}
	require.Equal(t, "ready", rowOf(t, client, stranger.ID()).State)
}

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
