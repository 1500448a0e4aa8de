package orchestrator

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// everyConstraint has the shapes that the generator writes.
const everyConstraint = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "test", "type": "object",
	"properties": {
		"id": {"type": "integer", "format": "int64", "minimum": 1},
		"rate": {"type": "number", "maximum": 0.5},
		"name": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-z]*$"},
		"to": {"type": "string", "format": "email"},
		"page": {"type": "string", "format": "uri"},
		"host": {"type": "string", "format": "hostname"},
		"address": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
		"account": {"type": "string", "format": "uuid", "not": {"const": "00000000-0000-0000-0000-000000000000"}},
		"at": {"type": "string", "format": "date-time", "formatMinimum": "2026-01-01T00:00:00Z"},
		"day": {"type": "string", "format": "date", "formatMaximum": "2026-12-31"},
		"price": {"anyOf": [{"$ref": "#/$defs/Price", "formatMaximum": "99.5"}, {"type": "null"}]},
		"wait": {"type": "string", "pattern": "` + `^-?P(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\\.[0-9]{1,9})?S)?)?$` + `", "formatMinimum": "1m0s"},
		"unit": {"enum": ["EUR", "USD"]},
		"tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true},
		"counts": {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}, "maxProperties": 2},
		"lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
		"note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
		"anything": {}
	},
	"required": ["id", "to"],
	"$defs": {"Price": {"type": "string", "format": "decimal", "formatMinimum": "0"}}
}`

func TestPayloadViolations(t *testing.T) {
	t.Parallel()
	schema, err := compilePayloadSchema(everyConstraint)
	require.NoError(t, err)
	for _, c := range []struct{ name, members, want string }{
		{"good", `"rate": 0.5, "name": "ab", "address": "::1", "account": "0193a5b2-0000-7000-8000-00000000000f",
			"at": "2026-11-21T09:30:00.5+01:00", "day": "2026-11-21", "price": "12.50", "wait": "PT90M", "unit": "EUR",
			"tags": ["a"], "counts": {"Id": 1}, "lines": [{"sku": "x"}], "note": null, "anything": [{"Id": 1}], "later": 1`, ""},
		{"number", `"rate": 0.51`, "/rate: must be at most 0.5"},
		{"too short", `"name": "a"`, "/name: must have at least 2 characters"},
		{"too long and no match", `"name": "ABCD"`, "/name: must have at most 3 characters; /name: must match ^[a-z]*$"},
		{"type", `"name": 5`, "/name: must be a string, not a number"},
		{"uri", `"page": "/relative"`, "/page: not an absolute URI"},
		{"host", `"host": "-"`, "/host: not a host name"},
		{"address", `"address": "256.1.1.1"`, "/address: not an IP address"},
		{"uuid", `"account": "no"`, "/account: not a UUID"},
		{"zero uuid", `"account": "00000000-0000-0000-0000-000000000000"`, "/account: is required"},
		{"leap second", `"at": "2026-12-31T23:59:60Z"`, "/at: not a time in RFC 3339"},
		{"too early", `"at": "2025-12-31T23:59:59Z"`, "/at: must not be before 2026-01-01T00:00:00Z"},
		{"no such day", `"day": "2026-02-30"`, "/day: not a date such as 2026-11-21"},
		{"too late a day", `"day": "2027-01-01"`, "/day: must not be after 2026-12-31"},
		{"decimal", `"price": "1e3"`, "/price: not a decimal number"},
		{"decimal bounds", `"price": "-0.01"`, "/price: must be at least 0"},
		{"decimal bounds of the place", `"price": "100"`, "/price: must be at most 99.5"},
		{"optional of another type", `"price": 5`, "/price: must be a string, not a number"},
		{"duration", `"wait": "90m"`, "/wait: not an ISO 8601 duration such as PT1H30M"},
		{"short duration", `"wait": "PT59S"`, "/wait: must be at least 1m0s"},
		{"enum", `"unit": "GBP"`, `/unit: must be one of "EUR", "USD"`},
		{"few items", `"tags": []`, "/tags: must have at least 1 item"},
		{"twice", `"tags": ["a", "b", "a"]`, "/tags/2: duplicate of item 0"},
		{"many members", `"counts": {"a": 1, "b": 2, "c": 3}`, "/counts: must have at most 2 items"},
		{"map value", `"counts": {"a/b": 1.5}`, "/counts/a~1b: must be a whole number, not a number"},
		{"nested", `"lines": [{"sku": "x"}, {}]`, "/lines/1/sku: is required"},
		{"optional", `"note": "longer"`, "/note: must have at most 5 characters"},
		{"other case", `"lines": [{"sku": "x", "SKU": "y"}]`, `/lines/0/SKU: unknown key; did you mean "sku"?`},
		{"misspelt", `"ntoe": "x"`, `/ntoe: unknown key; did you mean "note"?`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, violationsIn(t, schema, `{"id": 1, "to": "ada@example.com", `+c.members+`}`))
		})
	}
	require.Equal(t, "must be an object, not a list", violationsIn(t, schema, `[]`))
	require.Equal(t, "/id: must be at least 1; /to: not an email address", violationsIn(t, schema, `{"id": 0, "to": "Ada <ada@example.com>"}`))
	require.Equal(t, "/id: is required; /to: is required", violationsIn(t, schema, `{}`))
	// Integers to JSON Schema, but not to encoding/json.
	for _, text := range []string{"1.0", "1e3", "9223372036854775808"} {
		require.Equal(t, "/id: not a whole number of 64 bits, written without point and exponent",
			violationsIn(t, schema, `{"id": `+text+`, "to": "a@b"}`))
	}
}

func violationsIn(t *testing.T, schema *payloadSchema, text string) string {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	var parts []string
	for _, v := range schema.check(document) {
		parts = append(parts, strings.TrimPrefix(v.Pointer+": "+v.Message, ": "))
	}
	return strings.Join(parts, "; ")
}

func TestStoredSchemaIsNotFetchedFromElsewhere(t *testing.T) {
	t.Parallel()
	_, err := compilePayloadSchema(`{"$ref": "file:///etc/passwd"}`)
	require.ErrorContains(t, err, "must not refer to")
}
