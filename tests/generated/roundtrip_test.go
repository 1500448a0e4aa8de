package generated

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	design "github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/design/generated"
	"github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/everything/everything"
	"github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/hostile/hostile"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/codec"
)

// TestRoundTrip encodes payloads of all kinds of fields, valid or not. What
// Validate lets through is JSON, obeys the schema, and decodes to the same
// payload; what it refuses is not encoded.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	t.Run("email:send", func(t *testing.T) {
		t.Parallel()
		checkRoundTrip(t, &design.EmailSend, emailSend())
	})
	t.Run("shop:order", func(t *testing.T) {
		t.Parallel()
		checkRoundTrip(t, &everything.PlaceOrder, placeOrder(false))
	})
	t.Run("handler:one", func(t *testing.T) {
		t.Parallel()
		checkRoundTrip(t, &hostile.HandlerOne, handlerOne())
	})
}

type validator interface{ Validate() error }

func checkRoundTrip[P validator, R any](t *testing.T, task *orchestrator.TaskType[P, R], payloads *rapid.Generator[P]) {
	schema := compile(t, task.PayloadSchema)
	var valid, refused int
	rapid.Check(t, func(t *rapid.T) {
		p := payloads.Draw(t, "payload")
		document, err := task.EncodePayload(p)
		require.Equal(t, p.Validate(), err)
		if err != nil {
			refused++
			var violations *orchestrator.ValidationError
			require.ErrorAs(t, err, &violations)
			require.NotEmpty(t, violations.Violations)
			return
		}
		valid++
		require.True(t, json.Valid(document), "%s", document)
		require.NoError(t, schema.Validate(unmarshal(t, document)), "%s", document)
		decoded, err := task.DecodePayload(document)
		require.NoError(t, err)
		again, err := task.EncodePayload(decoded)
		require.NoError(t, err)
		require.Equal(t, string(document), string(again))
	})
	require.Positive(t, valid, "no payload was valid")
	t.Logf("%d valid, %d refused", valid, refused)
}

// TestSchemaAgrees marshals payloads without the generated encoder, broken
// ones too: the schema refuses exactly those that Validate refuses.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	schema := compile(t, everything.PlaceOrder.PayloadSchema)
	var valid, refused int
	rapid.Check(t, func(t *rapid.T) {
		p := placeOrder(true).Draw(t, "payload")
		document, err := json.Marshal(p)
		require.NoError(t, err)
		bySchema := schema.Validate(unmarshal(t, document))
		byCode := p.Validate()
		require.Equal(t, bySchema == nil, byCode == nil, "schema: %v\nValidate: %v\n%s", bySchema, byCode, document)
		if byCode == nil {
			valid++
		} else {
			refused++
		}
	})
	require.Positive(t, valid)
	require.Positive(t, refused)
}

func TestDefaultsFillAbsentKeys(t *testing.T) {
	t.Parallel()
	p, err := everything.PlaceOrder.DecodePayload([]byte(`{"skus": ["ABC-1"], "unknown": 1}`))
	require.NoError(t, err)
	require.Equal(t, 1, p.Quantity)
	require.Equal(t, orchestrator.MustDate("2026-11-21"), p.Day)
	require.Equal(t, orchestrator.Duration(36*time.Hour), p.Wait)
	require.Equal(t, everything.CurrencyEUR, p.Currency)
	require.Equal(t, everything.AddressKindHome, p.Address.Kind)
}

func TestViolationsHavePointers(t *testing.T) {
	t.Parallel()
	bad := "\x00"
	p := hostile.HandlerOnePayload{
		P:     []hostile.Text{{}, {W: "\xff"}, {}},
		Item:  [][]*int{nil, {nil}},
		Key:   map[string]map[string]string{"a/b~c": {"x": bad}},
		Times: []time.Time{time.Unix(1, 0), time.Unix(2, 0), time.Unix(1, 0).UTC()},
		Error: new([]byte),
	}
	err := p.Validate()
	var violations *orchestrator.ValidationError
	require.ErrorAs(t, err, &violations)
	require.Equal(t, "payload", violations.Subject)
	require.Equal(t, []orchestrator.Violation{
		{Pointer: "/p/1/w", Message: "not valid UTF-8"},
		{Pointer: "/p", Message: "must have at most 2 items"},
		{Pointer: "/key/a~1b~0c/x", Message: "must not contain NUL"},
		{Pointer: "/at", Message: "is required"},
		{Pointer: "/at", Message: "must not be before 2020-01-01T00:00:00Z"},
		{Pointer: "/kind", Message: "must be one of \"a`b\", \"\\\"\", \"back\\\\slash\""},
		{Pointer: "/secret", Message: "must match ^`[a-z]+$"},
		{Pointer: "/len", Message: "must be at least 9007199254740993"},
		{Pointer: "/times/2", Message: "duplicate of item 0"},
	}, violations.Violations)
}

func TestSensitiveStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	p := hostile.HandlerOnePayload{Secret: orchestrator.NewSensitive("hunter2")}
	require.NotContains(t, p.Validate().Error(), "hunter2")
	_, err := hostile.HandlerOne.DecodePayload([]byte(`{"secret": 4111111111111111}`))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "4111")
}

func compile(t *testing.T, text string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, f := range []codec.Format{codec.Email, codec.URI, codec.Hostname} {
		c.RegisterFormat(&jsonschema.Format{Name: string(f), Validate: func(v any) error {
			if s, ok := v.(string); ok && !f.Valid(s) {
				return errors.New("not " + string(f))
			}
			return nil
		}})
	}
	require.NoError(t, c.AddResource("payload.json", document))
	schema, err := c.Compile("payload.json")
	require.NoError(t, err)
	return schema
}

func unmarshal(t require.TestingT, document []byte) any {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document)))
	require.NoError(t, err)
	return value
}

func emailSend() *rapid.Generator[design.EmailSendPayload] {
	return rapid.Custom(func(t *rapid.T) design.EmailSendPayload {
		p := design.EmailSendPayload{
			UserID:    rapid.Int64().Draw(t, "user_id"),
			AccountID: id().Draw(t, "account_id"),
			Template:  text().Draw(t, "template"),
			To:        rapid.SampledFrom([]string{"a@example.com", "a.b+c@x-y.example", "nobody"}).Draw(t, "to"),
			Cc:        rapid.SliceOfN(text(), 0, 3).Draw(t, "cc"),
			Token:     orchestrator.NewSensitive(text().Draw(t, "token")),
		}
		if rapid.Bool().Draw(t, "has total") {
			p.Total = &design.Money{
				Amount:   rapid.Int64().Draw(t, "amount"),
				Currency: rapid.SampledFrom([]design.MoneyCurrency{design.MoneyCurrencyEUR, design.MoneyCurrencyUSD, "GBP"}).Draw(t, "currency"),
			}
		}
		return p
	})
}

// placeOrder draws payloads whose defaulted fields are set, and keeps to the
// bounds that a schema cannot express, if forSchema says so.
func placeOrder(forSchema bool) *rapid.Generator[everything.PlaceOrderPayload] {
	return rapid.Custom(func(t *rapid.T) everything.PlaceOrderPayload {
		p := everything.PlaceOrderPayload{
			OrderID:  id().Draw(t, "order_id"),
			Region:   rapid.SampledFrom([]everything.PlaceOrderPayloadRegion{"eu", "us", "us", "mars"}).Draw(t, "region"),
			Address:  everything.Address{City: sometimes(t, "Lisboa", ""), Kind: everything.AddressKindWork},
			Skus:     rapid.SliceOfN(rapid.SampledFrom([]string{"ABC-1", "ABC-2", "XYZ-34", "abc"}), 0, 2).Draw(t, "skus"),
			Price:    orchestrator.NewDecimal(rapid.Int64Range(10, 99999).Draw(t, "price"), 2),
			Quantity: rapid.SampledFrom([]int{1, 50, 99, 100, -1}).Draw(t, "quantity"),
			Ratio:    rapid.Float64Range(0, 1.6).Draw(t, "ratio"),
			Body:     rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "body"),
			At:       time.Unix(rapid.Int64Range(1600000000, 4000000000).Draw(t, "at"), 5).UTC(),
			Day:      orchestrator.MustDate("2026-11-21").AddDays(rapid.IntRange(-1000, 1000).Draw(t, "day")),
			Wait:     orchestrator.Duration(rapid.Int64Range(int64(time.Second), int64(168*time.Hour)).Draw(t, "wait")),
			Mail:     sometimes(t, "ops@example.com", "ops@"),
			Urgent:   rapid.Bool().Draw(t, "urgent"),
			Currency: sometimes(t, everything.CurrencyUSD, "XXX"),
			Raw:      json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a": [1, "é"]}`, `12.5e3`}).Draw(t, "raw")),
			Nested:   map[string][]*everything.Address{},
			Check:    rapid.Bool().Draw(t, "check"),
			Type:     validText().Draw(t, "type"),
			HTTPURL:  sometimes(t, "https://example.com/?a=b#c", "not a uri"),
		}
		if rapid.Bool().Draw(t, "has account") {
			account := rapid.Int64().Draw(t, "account")
			p.AccountID = &account
		}
		if rapid.Bool().Draw(t, "has weights") {
			p.Weights = &everything.Weights{validText().Draw(t, "weight"): rapid.Float64().Draw(t, "grams")}
		}
		if rapid.Bool().Draw(t, "has notes") {
			notes := validText().Draw(t, "notes") + strings.Repeat("é", rapid.IntRange(0, 101).Draw(t, "length"))
			p.Notes = &notes
		}
		for range rapid.IntRange(0, 4).Draw(t, "nested") {
			p.Nested[validText().Draw(t, "key")] = []*everything.Address{nil, {City: "Porto", Kind: everything.AddressKindHome}}
		}
		if !forSchema {
			p.Quantity = rapid.IntRange(0, 99).Draw(t, "quantity or default")
			p.Price = orchestrator.NewDecimal(rapid.Int64().Draw(t, "any price"), rapid.IntRange(-3, 30).Draw(t, "scale"))
			p.Type = text().Draw(t, "any type")
		}
		return p
	})
}

func handlerOne() *rapid.Generator[hostile.HandlerOnePayload] {
	return rapid.Custom(func(t *rapid.T) hostile.HandlerOnePayload {
		words := func(label string) hostile.Text {
			return hostile.Text{W: text().Draw(t, label), Name: validText().Draw(t, label), Codec: validText().Draw(t, label)}
		}
		one, zero := rapid.Int().Draw(t, "one"), orchestrator.UUID{}
		p := hostile.HandlerOnePayload{
			W:        words("w"),
			P:        []hostile.Text{words("p")},
			Item:     [][]*int{nil, {nil, &one}, {}},
			Key:      map[string]map[string]string{text().Draw(t, "key"): {text().Draw(t, "inner"): ""}},
			At:       time.Unix(rapid.Int64Range(1500000000, 4000000000).Draw(t, "at"), 0),
			Kind:     rapid.SampledFrom([]hostile.HandlerOnePayloadKind{"a`b", `"`, `back\slash`}).Draw(t, "kind"),
			Secret:   orchestrator.NewSensitive(sometimes(t, "`abc", "`")),
			Secrets:  orchestrator.NewSensitive(rapid.SliceOfN(text(), 0, 3).Draw(t, "secrets")),
			Hidden:   orchestrator.NewSensitive(words("hidden")),
			Code:     orchestrator.NewSensitive(rapid.SampledFrom([]string{"", "1234"}).Draw(t, "code")),
			F:        rapid.Bool().Draw(t, "f"),
			Len:      9007199254740993,
			IDs:      rapid.SliceOfN(id(), 0, 3).Draw(t, "ids"),
			MaybeID:  &zero,
			MaybeMap: &map[string]hostile.Text{"a/b": words("maybe")},
		}
		if rapid.Bool().Draw(t, "perhaps") {
			perhaps := words("perhaps")
			p.Perhaps = orchestrator.NewSensitive(&perhaps)
		}
		return p
	})
}

// text draws strings that may hold what cannot be stored.
func text() *rapid.Generator[string] {
	return rapid.OneOf(validText(), validText(), validText(), rapid.SampledFrom([]string{"\x00", "\xff", "a\xc3"}))
}

func validText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "plain", `"quoted\"`, "<html>&", "tab\tnewline\n\r\b\f\x7f", "\u2028é\U0001F600", "~/~1"}),
		rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8, -1),
	)
}

// sometimes draws the bad value one time in eight.
func sometimes[T any](t *rapid.T, good, bad T) T {
	if rapid.IntRange(0, 7).Draw(t, "bad") == 7 {
		return bad
	}
	return good
}

func id() *rapid.Generator[orchestrator.UUID] {
	return rapid.Custom(func(t *rapid.T) orchestrator.UUID {
		if rapid.IntRange(0, 15).Draw(t, "zero") == 15 {
			return orchestrator.UUID{}
		}
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
}
