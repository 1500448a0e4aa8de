package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func greeting(fingerprint, schema string) *orchestrator.Definition {
	return &orchestrator.Definition{
		Name: "mail:greet", Queue: &orchestrator.Queue{Name: "mail"}, Priority: 5, TTL: time.Hour,
		Idempotency: &orchestrator.Idempotency{Key: []string{"user_id", "to.address"}, Window: time.Hour, OnDuplicate: orchestrator.Reject},
		Fingerprint: fingerprint, PayloadSchema: schema,
	}
}

const greetingSchema = `{
	"type": "object",
	"properties": {
		"user_id": {"type": "integer", "format": "int64"},
		"to": {"$ref": "#/$defs/Address"}
	},
	"required": ["user_id", "to"],
	"$defs": {"Address": {"type": "object", "properties": {"address": {"type": "string", "format": "email"}}, "required": ["address"]}}
}`

func TestEnqueueRaw(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	typed := greeting("v1", greetingSchema)
	startWorker(t, client, handle(typed, echoPayload), orchestrator.WorkerConfig{})
	eventually(t, client, "SELECT count(*) FROM orchestrator.task_contracts", 1)

	const payload = `{"user_id": 9007199254740993, "to": {"address": "ada@example.com"}}`
	ref, err := client.EnqueueRaw(t.Context(), "mail:greet", []byte(" "+payload+"\n"), orchestrator.WithMetadata(map[string]string{"by": "hand"}))
	require.NoError(t, err)
	got, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, payload, got, "the very bytes")
	task, err := client.TaskInfo(t.Context(), ref.ID())
	require.NoError(t, err)
	require.Equal(t, "mail", task.Queue)
	require.Equal(t, 5, task.Priority)
	require.Equal(t, map[string]string{"by": "hand"}, task.Metadata)

	var duplicate *orchestrator.DuplicateError
	_, err = client.EnqueueRaw(t.Context(), "mail:greet", []byte(payload))
	require.ErrorAs(t, err, &duplicate)
	require.Equal(t, ref.ID(), duplicate.ID)
	_, err = client.EnqueueRaw(t.Context(), "mail:greet", []byte(payload), orchestrator.WithIdempotencyKey("another"))
	require.NoError(t, err)
}

func TestEnqueueRawRefusesBadPayloads(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	enqueue(t, client, greeting("v1", greetingSchema), `{}`)
	for payload, want := range map[string]string{
		`{"user_id": "1", "to": {"address": "ada"}}`: "payload /to/address: not an email address; payload /user_id: must be a whole number, not a string",
		``:     "payload /to: is required; payload /user_id: is required",
		`null`: "payload: must be an object, not null",
		`{`:    "payload: not valid JSON: unexpected EOF",
		`{} 2`: "payload: not valid JSON: invalid character after top-level value",
	} {
		_, err := client.EnqueueRaw(t.Context(), "mail:greet", []byte(payload))
		var invalid *orchestrator.ValidationError
		require.ErrorAs(t, err, &invalid, payload)
		require.EqualError(t, err, "orchestrator: enqueue mail:greet: "+want)
	}
	_, err := client.EnqueueRaw(t.Context(), "mail:greet", []byte(`{"user_id": 1, "to": {"address": "`+strings.Repeat("a", orchestrator.MaxPayloadSize)+`"}}`))
	require.ErrorIs(t, err, orchestrator.ErrPayloadTooLarge)
	_, err = client.EnqueueRaw(t.Context(), "mail:greet", []byte(`{"user_id": 1, "to": {"address": "a\u0000@example.com"}}`))
	require.ErrorContains(t, err, "NUL")
	require.Equal(t, 1, count(t, client, "SELECT count(*) FROM orchestrator.tasks"))
}

func TestEnqueueRawOfAnUnknownType(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	_, err := client.EnqueueRaw(t.Context(), "mail:greet", nil)
	require.ErrorIs(t, err, orchestrator.ErrUnknownTask)
	require.EqualError(t, err, "orchestrator: enqueue mail:greet: unknown task type: no contract is stored in this database yet; start a worker of your program once")

	enqueue(t, client, greeting("v1", greetingSchema), `{}`)
	enqueue(t, client, echo, `{}`)
	_, err = client.EnqueueRaw(t.Context(), "mail:great", nil)
	var unknown *orchestrator.UnknownTaskError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, []string{"mail:greet"}, unknown.Near)
	require.ErrorContains(t, err, "did you mean mail:greet?")
	_, err = client.EnqueueRaw(t.Context(), "video:encode", nil)
	require.ErrorIs(t, err, orchestrator.ErrUnknownTask)
}

func TestEnqueueRawTakesTheNewestContract(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	enqueue(t, client, greeting("v1", greetingSchema), `{}`)
	_, err := client.EnqueueRaw(t.Context(), "mail:greet", []byte(`{"name": "Ada"}`))
	require.Error(t, err)
	newer := greeting("v2", `{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}`)
	newer.Idempotency = nil
	enqueue(t, client, newer, `{}`)
	_, err = client.EnqueueRaw(t.Context(), "mail:greet", []byte(`{"name": "Ada"}`))
	require.NoError(t, err)

	// A worker with another policy for the same contract changes what is enqueued.
	changed := *newer
	changed.Priority, changed.Queue = 50, &orchestrator.Queue{Name: "express"}
	startWorker(t, client, handle(&changed, echoPayload), orchestrator.WorkerConfig{Queues: []string{"none"}})
	eventually(t, client, "SELECT count(*) FROM orchestrator.task_contracts WHERE priority = 50", 1)
	ref, err := client.EnqueueRaw(t.Context(), "mail:greet", []byte(`{"name": "Ada"}`))
	require.NoError(t, err)
	task, err := client.TaskInfo(t.Context(), ref.ID())
	require.NoError(t, err)
	require.Equal(t, "express", task.Queue)
	require.Equal(t, 50, task.Priority)
}
