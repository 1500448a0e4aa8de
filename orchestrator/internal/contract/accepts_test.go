package contract_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/contract"
)

func object(fields, required string) string {
	return `{"type": "object", "properties": {` + fields + `}, "required": [` + required + `], "$defs": {
		"Money": {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}}}`
}

const (
	id       = `"id": {"type": "integer"}`
	optional = `"to": {"anyOf": [{"type": "string"}, {"type": "null"}]}`
	to       = `"to": {"type": "string"}`
)

func TestAccepts(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct{ compiled, stored, why string }{
		"the same":           {object(id, `"id"`), object(id, `"id"`), ""},
		"optional field new": {object(id+","+optional, `"id"`), object(id, `"id"`), ""},
		"field gone":         {object(id, `"id"`), object(id+","+to, `"id", "to"`), ""},
		"required field new": {object(id+","+to, `"id", "to"`), object(id, `"id"`), "/to: is required and was not before"},
		"became required":    {object(to, `"to"`), object(to, ``), "/to: is required and was not before"},
		"became optional":    {object(optional, ``), object(to, `"to"`), ""},
		"no longer optional": {object(to, ``), object(optional, ``), "/to: may not be null any more"},
		"type changed":       {object(`"id": {"type": "string"}`, ``), object(id, ``), "/id: is string and was integer"},
		"integer to number":  {object(`"id": {"type": "number"}`, ``), object(id, ``), ""},
		"number to integer":  {object(id, ``), object(`"id": {"type": "number"}`, ``), "/id: is integer and was number"},
		"anything":           {object(`"id": {}`, ``), object(id, ``), ""},
		"no longer anything": {object(id, ``), object(`"id": {}`, ``), "/id: is integer and was <nil>"},
		"bound lower":        {object(`"id": {"type": "integer", "minimum": 0}`, ``), object(`"id": {"type": "integer", "minimum": 1}`, ``), ""},
		"bound higher":       {object(`"id": {"type": "integer", "minimum": 2}`, ``), object(`"id": {"type": "integer", "minimum": 1}`, ``), "/id: minimum is 2 and was 1"},
		"bound new":          {object(`"to": {"type": "string", "maxLength": 9}`, ``), object(to, ``), "/to: has a maxLength and had none"},
		"longer allowed":     {object(`"to": {"type": "string", "maxLength": 9}`, ``), object(`"to": {"type": "string", "maxLength": 8}`, ``), ""},
		"format new":         {object(`"to": {"type": "string", "format": "email"}`, ``), object(to, ``), "/to: format is email and was <nil>"},
		"enum grew":          {object(`"c": {"enum": ["EUR", "USD"]}`, ``), object(`"c": {"enum": ["EUR"]}`, ``), ""},
		"enum shrank":        {object(`"c": {"enum": ["EUR"]}`, ``), object(`"c": {"enum": ["EUR", "USD"]}`, ``), "/c: USD is not a value any more"},
		"inside a list":      {object(`"l": {"type": "array", "items": {"type": "string"}}`, ``), object(`"l": {"type": "array", "items": {"type": "integer"}}`, ``), "/l/*: is string and was integer"},
		"inside a map":       {object(`"m": {"type": "object", "additionalProperties": {"type": "string"}}`, ``), object(`"m": {"type": "object", "additionalProperties": {"type": "integer"}}`, ``), "/m/*: is string and was integer"},
		"behind a reference": {object(`"total": {"type": "object", "properties": {"amount": {"type": "string"}}}`, ``), object(`"total": {"$ref": "#/$defs/Money"}`, ``), "/total/amount: is string and was integer"},
		"same by reference":  {object(`"total": {"type": "object", "properties": {"amount": {"type": "integer"}}}`, ``), object(`"total": {"$ref": "#/$defs/Money"}`, ``), ""},
		"nested in optional": {object(`"total": {"anyOf": [{"type": "object", "properties": {"n": {"type": "string"}}}, {"type": "null"}]}`, ``), object(`"total": {"anyOf": [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"type": "null"}]}`, ``), "/total/n: is string and was integer"},
	} {
		err := contract.Accepts([]byte(one.compiled), []byte(one.stored))
		if one.why == "" {
			require.NoError(t, err, name)
		} else {
			require.EqualError(t, err, one.why, name)
		}
	}
}

func TestUnreadableSchemaIsNotAccepted(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, contract.Accepts([]byte(`{`), []byte(`{}`)), "compiled schema")
	require.ErrorContains(t, contract.Accepts([]byte(`{}`), []byte(`[]`)), "stored schema")
}
