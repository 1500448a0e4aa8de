package codec

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

type colour string

// specimen has fields of every kind that is read without encoding/json, and some
// that are not.
type specimen struct {
	Name    string                `json:"name"`
	Colour  colour                `json:"colour,omitempty"`
	Yes     bool                  `json:"yes"`
	Number  int64                 `json:"number"`
	Small   int8                  `json:"small"`
	Ratio   float64               `json:"ratio"`
	Single  float32               `json:"single"`
	ID      orchestrator.UUID     `json:"id"`
	Took    orchestrator.Duration `json:"took"`
	Price   orchestrator.Decimal  `json:"price"`
	Day     orchestrator.Date     `json:"day"`
	At      time.Time             `json:"at"`
	Maybe   *string               `json:"maybe,omitempty"`
	List    []string              `json:"list,omitempty"`
	Nested  *specimen             `json:"nested,omitempty"`
	Free    any                   `json:"free,omitempty"`
	Literal json.Number           `json:"literal,omitempty"`
}

// same decodes a document both ways and compares.
func same(t require.TestingT, document []byte) {
	filled := specimen{Name: "n", Colour: "c", Yes: true, Number: 1, Small: 2, Ratio: 3, Single: 4, Took: 5, List: []string{"l"}}
	got, want := filled, filled
	got.List, want.List = slices.Clone(got.List), slices.Clone(want.List)
	gotErr, wantErr := Decode("", document, &got), json.Unmarshal(document, &want)
	if wantErr != nil {
		require.Equal(t, wantErr, errors.Unwrap(gotErr), "%s", document)
		return
	}
	require.NoError(t, gotErr, "%s", document)
	require.Equal(t, want, got, "%s", document)
}

func TestDecodeIsThatOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		``, ` `, `null`, `{}`, ` { } `, `{`, `}`, `[]`, `{}{}`, `{} x`, `{,}`, `{"name"}`, `{"name":}`, `{"name":"a"`, `{"name":"a",}`, `{"name":"a",,}`,
		`{"name":"a"}`, " {\n\t\"name\" : \"a\" ,\r\"number\" : 7 } ", `{"name":"a","name":"b"}`, `{"NAME":"a"}`, `{"name":"a","nAme":"b","unknown":1}`,
		`{"name":"\u00e9"}`, `{"name":"é"}`, "{\"name\":\"\xff\"}", "{\"na\xffme\":\"a\"}", "{\"name\":\"a\nb\"}", `{"name":"a\"b"}`, `{"name":"a}`, `{"name":null}`,
		`{"name":7}`, `{"yes":null}`, `{"ratio":null}`, `{"number":null,"number":2}`, `{"id":null}`, `{"took":null}`, `{"number":"7"}`, `{"number":-0}`, `{"number":007}`, `{"number":-}`, `{"number":1.0}`, `{"number":1e2}`, `{"number":+1}`,
		`{"number":9223372036854775807}`, `{"number":9223372036854775808}`, `{"number":-9223372036854775808}`, `{"number":1x}`, `{"number":1 2}`,
		`{"small":127}`, `{"small":128}`, `{"small":-129}`, `{"yes":true}`, `{"yes":false}`, `{"yes":truee}`, `{"yes":tru}`, `{"yes":1}`,
		`{"ratio":1.5e-3}`, `{"ratio":1.}`, `{"ratio":.5}`, `{"ratio":1e}`, `{"ratio":1e+}`, `{"ratio":-0.0}`, `{"ratio":1e999}`, `{"ratio":00.1}`, `{"single":1e39}`,
		`{"single":0.1}`, `{"ratio":NaN}`, `{"id":"9b2c8f2e-0d3a-4b5c-8d7e-1f2a3b4c5d6e"}`, `{"id":"x"}`, `{"id":7}`, `{"took":"PT1H"}`, `{"price":"1.50"}`,
		`{"price":1.50}`, `{"day":"2026-11-22"}`, `{"at":"2026-11-22T03:04:05Z"}`, `{"maybe":"a"}`, `{"maybe":null}`, `{"list":["a"]}`, `{"literal":12}`, `{"literal":"x"}`,
		`{"nested":{"name":"a"},"name":"b"}`, `{"free":{"a":[1]}}`, "{\"name\":\"a\x00\"}", "\ufeff{}",
	} {
		same(t, []byte(document))
	}
}

// TestDecodeOfBrokenDocumentsIsThatOfTheStandardLibrary breaks documents that
// were right.
func TestDecodeOfBrokenDocumentsIsThatOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		document, err := json.Marshal(specimen{
			Name: rapid.StringMatching(`[a-zé"\\\n ]{0,8}`).Draw(t, "name"), Yes: rapid.Bool().Draw(t, "yes"),
			Number: rapid.Int64().Draw(t, "number"), Small: rapid.Int8().Draw(t, "small"),
			Ratio:  rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }).Draw(t, "ratio"),
			Colour: "red", Literal: "1",
		})
		require.NoError(t, err)
		same(t, document)
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(document)-1).Draw(t, "at")
			with := rapid.SampledFrom([]byte(`{}[]":, 0159.-+eEtrufalsn\aN`+"\xff\n")).Draw(t, "with")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				document[at] = with
			case 1:
				document = append(document[:at], document[at+1:]...)
			default:
				document = append(document[:at], append([]byte{with}, document[at:]...)...)
			}
		}
		same(t, document)
	})
}

func TestPlainDocumentsAreReadInOneGo(t *testing.T) {
	t.Parallel()
	var target specimen
	require.True(t, decodePlain([]byte(`{"name":"Ann é","yes":true,"number":-7,"ratio":1.5,"took":"PT1S"}`), &target))
	require.Equal(t, "Ann é", target.Name)
	require.True(t, decodePlain([]byte(`{}`), &target))
	require.Equal(t, "Ann é", target.Name, "what is missing stays as it is")
	require.False(t, decodePlain([]byte(`{"name":"a\tb"}`), &target))
	require.False(t, decodePlain([]byte(`{"maybe":"a"}`), &target))
}

func TestOnlyStructsLikeGeneratedOnesArePlain(t *testing.T) {
	t.Parallel()
	var text string
	var embedding struct {
		specimen
		Other string `json:"other"`
	}
	var untagged struct{ Name string }
	var quoted struct {
		Number int `json:"number,string"`
	}
	field := func(name string) reflect.StructField {
		return reflect.StructField{Name: name, Type: reflect.TypeFor[string](), Tag: `json:"name"`}
	}
	twice := reflect.New(reflect.StructOf([]reflect.StructField{field("A"), field("B")})).Interface()
	for _, target := range []any{&text, &embedding, &untagged, &quoted, twice, new(time.Time), (*specimen)(nil), specimen{}} {
		require.False(t, decodePlain([]byte(`{}`), target), "%T", target)
	}
}

// BenchmarkDecode reads a payload of a short task.
func BenchmarkDecode(b *testing.B) {
	document := []byte(`{"user_id":1204,"template":"welcome"}`)
	b.ReportAllocs()
	for b.Loop() {
		var payload struct {
			UserID   int64  `json:"user_id"`
			Template string `json:"template"`
		}
		if err := Decode("payload", document, &payload); err != nil {
			b.Fatal(err)
		}
	}
}
