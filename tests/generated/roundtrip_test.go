package generated

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
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
		checkRoundTrip(t, &design.EmailSend, payloads(emailSend))
	})
	t.Run("shop:order", func(t *testing.T) {
		t.Parallel()
		checkRoundTrip(t, &everything.PlaceOrder, payloads(placeOrderFreely))
	})
	t.Run("handler:one", func(t *testing.T) {
		t.Parallel()
		checkRoundTrip(t, &hostile.HandlerOne, payloads(handlerOne))
	})
}

type validator interface{ Validate() error }

func checkRoundTrip[P validator, R any](t *testing.T, task *orchestrator.TaskType[P, R], generator *rapid.Generator[P]) {
	t.Helper()
	schema := compile(t, task.Definition.PayloadSchema)
	var valid, refused int
	rapid.Check(t, func(t *rapid.T) {
		p := generator.Draw(t, "payload")
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
	t.Logf("%d valid, %d refused", valid, refused)
}

// TestSchemaAgrees marshals payloads without the generated encoder, broken
// ones too: the schema refuses exactly those that Validate refuses.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	schema := compile(t, everything.PlaceOrder.Definition.PayloadSchema)
	var valid, refused int
	rapid.Check(t, func(t *rapid.T) {
		p := payloads(placeOrder).Draw(t, "payload")
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
	t.Logf("%d valid, %d refused", valid, refused)
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

// drawer draws payloads with at most one flaw, so that many are valid and each
// constraint is broken alone.
type drawer struct {
	*rapid.T
	spot, flaw int
}

func payloads[P any](draw func(d *drawer) P) *rapid.Generator[P] {
	return rapid.Custom(func(t *rapid.T) P {
		const mostSpots = 24
		return draw(&drawer{T: t, flaw: rapid.IntRange(1, 2*mostSpots).Draw(t, "flaw")})
	})
}

// flawed tells whether this spot is the one that is to be wrong.
func (d *drawer) flawed() bool {
	d.spot++
	return d.spot == d.flaw
}

func (d *drawer) coin(label string) bool { return rapid.Bool().Draw(d.T, label) }

// text is any string, and one that cannot be stored when it is the flaw.
func (d *drawer) text(label string) string {
	if d.flawed() {
		return rapid.SampledFrom([]string{"\x00", "\xff", "a\xc3"}).Draw(d.T, label)
	}
	return validText().Draw(d.T, label)
}

func (d *drawer) texts(label string) []string {
	texts := make([]string, rapid.IntRange(0, 3).Draw(d.T, label))
	for i := range texts {
		texts[i] = d.text(label)
	}
	return texts
}

func (d *drawer) id(label string) orchestrator.UUID {
	id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(d.T, label))
	id[0] |= 1
	if d.flawed() {
		return orchestrator.UUID{}
	}
	return id
}

func pick[T any](d *drawer, good, bad T) T {
	if d.flawed() {
		return bad
	}
	return good
}

func validText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "plain", `"quoted\"`, "<html>&", "tab\tnewline\n\r\b\f\x7f", "\u2028é\U0001F600", "~/~1"}),
		rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8, -1),
	)
}

func emailSend(d *drawer) design.EmailSendPayload {
	p := design.EmailSendPayload{
		UserID:    rapid.Int64().Draw(d.T, "user_id"),
		AccountID: d.id("account_id"),
		Template:  d.text("template"),
		To:        pick(d, rapid.SampledFrom([]string{"a@example.com", "a.b+c@x-y.example"}).Draw(d.T, "to"), "nobody"),
		Cc:        d.texts("cc"),
		Token:     orchestrator.NewSensitive(d.text("token")),
	}
	if d.coin("has total") {
		p.Total = &design.Money{
			Amount:   rapid.Int64().Draw(d.T, "amount"),
			Currency: pick(d, design.MoneyCurrencyUSD, "GBP"),
		}
	}
	return p
}

// placeOrder keeps to what a schema can express.
func placeOrder(d *drawer) everything.PlaceOrderPayload {
	p := everything.PlaceOrderPayload{
		OrderID:  d.id("order_id"),
		Region:   pick(d, everything.PlaceOrderPayloadRegionUs, "mars"),
		Address:  everything.Address{City: pick(d, "Lisboa", ""), Kind: everything.AddressKindWork},
		Skus:     pick(d, []string{"ABC-1", "XYZ-34"}, []string{"ABC-1", "ABC-1"}),
		Price:    orchestrator.NewDecimal(rapid.Int64Range(10, 99999).Draw(d.T, "price"), 2),
		Quantity: pick(d, rapid.IntRange(1, 99).Draw(d.T, "quantity"), 100),
		Ratio:    pick(d, rapid.Float64Range(1e-3, 1.5).Draw(d.T, "ratio"), 1.6),
		Body:     rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(d.T, "body"),
		At:       time.Unix(rapid.Int64Range(1600000000, 4000000000).Draw(d.T, "at"), 5).UTC(),
		Day:      orchestrator.MustDate("2026-11-21").AddDays(rapid.IntRange(-1000, 1000).Draw(d.T, "day")),
		Wait:     orchestrator.Duration(rapid.Int64Range(int64(time.Second), int64(168*time.Hour)).Draw(d.T, "wait")),
		Mail:     pick(d, "ops@example.com", "ops@"),
		Urgent:   d.coin("urgent"),
		Currency: pick(d, everything.CurrencyUSD, "XXX"),
		Raw:      json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a": [1, "é"]}`, `12.5e3`}).Draw(d.T, "raw")),
		Nested:   map[string][]*everything.Address{},
		Check:    d.coin("check"),
		Type:     validText().Draw(d.T, "type"),
	}
	p.HTTPURL = pick(d, "https://example.com/?a=b#c", "not a uri") //lint:ignore SA1019 deprecated fields are encoded too
	if d.coin("has account") {
		p.AccountID = new(rapid.Int64().Draw(d.T, "account"))
	}
	if d.coin("has weights") {
		p.Weights = &everything.Weights{validText().Draw(d.T, "weight"): rapid.Float64().Draw(d.T, "grams")}
	}
	if d.coin("has notes") {
		p.Notes = new(strings.Repeat("é", pick(d, rapid.IntRange(0, 100).Draw(d.T, "length"), 101)))
	}
	for i := range pick(d, rapid.IntRange(0, 3).Draw(d.T, "nested"), 4) {
		p.Nested[validText().Draw(d.T, "key")+strconv.Itoa(i)] = []*everything.Address{nil, {City: "Porto", Kind: everything.AddressKindHome}}
	}
	if p.Skus[1] == "XYZ-34" && d.flawed() {
		p.Skus = nil
	}
	return p
}

// placeOrderFreely adds what only Validate can tell, and absent values.
func placeOrderFreely(d *drawer) everything.PlaceOrderPayload {
	p := placeOrder(d)
	p.Price = orchestrator.NewDecimal(pick(d, rapid.Int64Range(10, 100000000).Draw(d.T, "any price"), 9), 2)
	p.Type = d.text("any type")
	p.Ratio = pick(d, p.Ratio, math.NaN())
	p.Day = pick(d, p.Day, orchestrator.MustDate("2031-01-01"))
	p.Wait = pick(d, p.Wait, -1)
	p.At = pick(d, p.At, time.Time{})
	p.Raw = pick(d, p.Raw, json.RawMessage(`{"a":`))
	if d.coin("leave defaults") {
		p.Quantity, p.Day, p.Wait, p.Mail, p.Currency = 0, orchestrator.Date{}, 0, "", ""
		p.Raw, p.Nested = nil, nil
	}
	return p
}

func handlerOne(d *drawer) hostile.HandlerOnePayload {
	words := func(label string) hostile.Text {
		return hostile.Text{W: d.text(label), Name: validText().Draw(d.T, label), Codec: validText().Draw(d.T, label)}
	}
	p := hostile.HandlerOnePayload{
		W:        words("w"),
		P:        pick(d, []hostile.Text{words("p")}, nil),
		Item:     [][]*int{nil, {nil, new(rapid.Int().Draw(d.T, "one"))}, {}},
		Key:      map[string]map[string]string{d.text("key"): {d.text("inner"): ""}},
		At:       time.Unix(rapid.Int64Range(1600000000, 4000000000).Draw(d.T, "at"), 0),
		Kind:     rapid.SampledFrom([]hostile.HandlerOnePayloadKind{"a`b", `"`, `back\slash`}).Draw(d.T, "kind"),
		Secret:   orchestrator.NewSensitive(pick(d, "`abc", "`")),
		Secrets:  orchestrator.NewSensitive(d.texts("secrets")),
		Hidden:   orchestrator.NewSensitive(words("hidden")),
		Code:     orchestrator.NewSensitive(rapid.SampledFrom([]string{"", "1234"}).Draw(d.T, "code")),
		F:        d.coin("f"),
		Len:      9007199254740993,
		IDs:      pick(d, []orchestrator.UUID{d.id("ids"), {}}, []orchestrator.UUID{{}, {}}),
		MaybeID:  &orchestrator.UUID{},
		MaybeMap: &map[string]hostile.Text{"a/b": words("maybe")},
	}
	if d.coin("perhaps") {
		p.Perhaps = orchestrator.NewSensitive(new(words("perhaps")))
	}
	return p
}
