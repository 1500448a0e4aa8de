package orchestrator_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/everything/everything"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/codec"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// keyed has a key field of every scalar type, as the generator writes their schemas.
const keyed = `{
	"type": "object",
	"properties": {
		"text": {"type": "string"}, "flag": {"type": "boolean"}, "whole": {"type": "integer", "format": "int64"}, "real": {"type": "number"},
		"price": {"$ref": "#/$defs/Price"}, "blob": {"type": "string", "contentEncoding": "base64"}, "id": {"type": "string", "format": "uuid"},
		"at": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
		"wait": {"type": "string", "pattern": PATTERN}, "unit": {"enum": ["EUR"]},
		"maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "limit": {"type": "integer", "format": "int64", "default": 50},
		"who": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]}
	},
	"$defs": {
		"Price": {"type": "string", "format": "decimal"},
		"Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
	}
}`

func TestKeysOfEveryScalar(t *testing.T) {
	t.Parallel()
	pattern, err := json.Marshal(orchestrator.DurationPattern)
	require.NoError(t, err)
	schema := strings.ReplaceAll(keyed, "PATTERN", string(pattern))
	derive := func(field, payload string) string {
		d := &orchestrator.Definition{Name: "a", PayloadSchema: schema, Idempotency: &orchestrator.Idempotency{Key: strings.Split(field, "+")}}
		r, err := orchestrator.RawRequest(d, []byte(payload))
		require.NoError(t, err)
		return r.IdempotencyKey
	}
	at := time.Date(2026, 11, 21, 9, 30, 0, 5e8, time.UTC)
	for _, c := range []struct {
		field, payload string
		want           any
	}{
		{"text", `{"text": "a\u0301 \u003c"}`, "a\u0301 <"},
		{"flag", `{"flag": true}`, true},
		{"whole", `{"whole": 9007199254740993}`, int64(9007199254740993)},
		{"real", `{"real": 1.50e2}`, 150.0},
		{"real", `{"real": -0}`, 0.0},
		{"price", `{"price": "012.50"}`, orchestrator.MustDecimal("12.5")},
		{"blob", `{"blob": "AP8="}`, []byte{0, 255}},
		{"id", `{"id": "0193A5B2-0000-7000-8000-00000000000F"}`, uuid.MustParse("0193a5b2-0000-7000-8000-00000000000f")},
		{"at", `{"at": "2026-11-21T10:30:00.500+01:00"}`, at},
		{"day", `{"day": "2026-11-21"}`, orchestrator.MustDate("2026-11-21")},
		{"wait", `{"wait": "PT90M"}`, orchestrator.MustDuration("PT1H30M")},
		{"unit", `{"unit": "EUR"}`, "EUR"},
		{"maybe", `{"maybe": "x"}`, "x"},
		{"limit", `{}`, int64(50)},
		{"limit", `{"limit": 7}`, int64(7)},
		{"who.name", `{"who": {"name": "Ada"}}`, "Ada"},
	} {
		require.Equal(t, codec.Key(c.want), derive(c.field, c.payload), "%s of %s", c.field, c.payload)
	}
	require.Equal(t, `["a",2]`, derive("text+whole", `{"whole": 2, "text": "a"}`))
	// A field that is null or absent leaves the task without a key.
	for _, payload := range []string{`{}`, `{"maybe": null}`, `{"text": "a"}`} {
		require.Empty(t, derive("text+maybe", payload))
	}
	require.Empty(t, derive("who.name", `{"who": null}`))
}

// The typed and the untyped door make the same request of one payload, from
// the schema that the generator wrote.
func TestBothDoorsMakeTheSameRequest(t *testing.T) {
	t.Parallel()
	account := int64(7)
	order := everything.PlaceOrderPayload{
		OrderID: uuid.MustParse("0193a5b2-0000-7000-8000-00000000000f"), AccountID: &account, Region: everything.PlaceOrderPayloadRegionUs,
		Address: everything.Address{City: "Lisboa <3"}, Skus: everything.Skus{"ABC-1"}, Price: orchestrator.MustDecimal("0.5"),
		Ratio: 0.5, At: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		HTTPURL: "https://example.com",
		Secret:  everything.SecretValue{Token: orchestrator.NewSensitive("t")},
	}
	var rec orchestratortest.Recorder
	_, err := everything.EnqueuePlaceOrder(t.Context(), &rec, order)
	require.NoError(t, err)
	typed := rec.Requests()[0]
	require.NotEmpty(t, typed.IdempotencyKey)
	require.NotEmpty(t, typed.GroupKey)
	require.NotEmpty(t, typed.LimitKey)

	untyped, err := orchestrator.RawRequest(everything.PlaceOrder.Definition, typed.Payload)
	require.NoError(t, err)
	require.Equal(t, typed.IdempotencyKey, untyped.IdempotencyKey)
	require.Equal(t, typed.GroupKey, untyped.GroupKey)
	require.Equal(t, typed.LimitKey, untyped.LimitKey)
	require.Equal(t, string(typed.Payload), string(untyped.Payload))
}

// Durations are known by their pattern, so the generator must write this one.
func TestGeneratedSchemasHaveTheDurationPattern(t *testing.T) {
	t.Parallel()
	pattern, err := json.Marshal(orchestrator.DurationPattern)
	require.NoError(t, err)
	require.Contains(t, everything.PlaceOrder.Definition.PayloadSchema, string(pattern))
}
