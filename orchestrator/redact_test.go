package orchestrator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedaction(t *testing.T) {
	t.Parallel()
	schema, err := newSecretSchema(`{
		"type": "object",
		"properties": {
			"id": {"type": "integer"}, "token": {"type": "string", "x-sensitive": true}, "pin": {"type": "integer", "x-sensitive": true},
			"card": {"$ref": "#/$defs/Card"}, "cards": {"type": "array", "items": {"$ref": "#/$defs/Card"}},
			"byName": {"type": "object", "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Card"}, {"type": "null"}]}},
			"whole": {"$ref": "#/$defs/Card", "x-sensitive": true}
		},
		"$defs": {"Card": {"type": "object", "properties": {"number": {"type": "string", "x-sensitive": true}, "bank": {"type": "string"}}}}
	}`)
	require.NoError(t, err)
	got, err := schema.redact(json.RawMessage(`{
		"id": 9007199254740993, "token": "t", "pin": 1, "card": {"number": "1", "bank": "b"}, "cards": [{"number": "2"}, {}],
		"byName": {"a": {"number": "3"}, "b": null}, "whole": {"bank": "c"}, "unknown": {"number": "4"}}`))
	require.NoError(t, err)
	require.Equal(t, `{"byName":{"a":{"number":"[redacted]"},"b":null},"card":{"bank":"b","number":"[redacted]"},`+
		`"cards":[{"number":"[redacted]"},{}],"id":9007199254740993,"pin":"[redacted]","token":"[redacted]",`+
		`"unknown":{"number":"4"},"whole":"[redacted]"}`, string(got))

	plain, err := newSecretSchema(`{"type": "object"}`)
	require.NoError(t, err)
	untouched := json.RawMessage(`{ "b": 1, "a": 2 }`)
	got, err = plain.redact(untouched)
	require.NoError(t, err)
	require.Equal(t, string(untouched), string(got))
	none, err := schema.redact(nil)
	require.NoError(t, err)
	require.Nil(t, none)
}
