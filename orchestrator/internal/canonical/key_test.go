package canonical_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/canonical"
)

// TestKeyTexts must never need a change: the texts are stored.
func TestKeyTexts(t *testing.T) {
	t.Parallel()
	lisbon := time.FixedZone("", 3600)
	for want, values := range map[string][]any{
		`[]`:                   {},
		`[42,"welcome"]`:       {int64(42), "welcome"},
		`["a","b"]`:            {"a", "b"},
		`["a\",\"b"]`:          {`a","b`},
		`["\u0001\n\\é<>&  "]`: {"\x01\n\\é<>&  "},
		`[true,false]`:         {true, false},
		`[-7]`:                 {-7},
		`[9223372036854775807]`: {
			int64(math.MaxInt64)},
		`[0,0.1,1e+21,1e-7]`: {math.Copysign(0, -1), 0.1, 1e21, 1e-7},
		`["0193a5b2-0000-7000-8000-00000000000f"]`: {
			uuid.MustParse("0193A5B2-0000-7000-8000-00000000000F")},
		`["2026-11-21T09:30:00.5Z"]`: {time.Date(2026, 11, 21, 10, 30, 0, 5e8, lisbon)},
		`["AP8="]`:                   {[]byte{0, 255}},
		`["1s"]`:                     {time.Second}, // a Stringer
	} {
		require.Equal(t, want, canonical.Key(values...))
	}
	require.Panics(t, func() { canonical.Key(struct{}{}) })
}

func TestScalarsReadBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, number := rapid.String().Draw(t, "text"), rapid.Float64().Draw(t, "number")
		var gotText string
		require.NoError(t, json.Unmarshal(canonical.AppendString(nil, text), &gotText))
		require.Equal(t, text, gotText)
		var gotNumber float64
		require.NoError(t, json.Unmarshal(canonical.AppendFloat(nil, number), &gotNumber))
		require.Equal(t, number, gotNumber)
	})
}
