package codec_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/codec"
)

// TestStringsReadBack compares with the standard library's reader.
func TestStringsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Filter(func(s string) bool { return !containsNUL(s) }).Draw(t, "s")
		w := codec.NewWriter("")
		w.String(codec.Item, s)
		document, err := w.Finish()
		require.NoError(t, err)
		var back string
		require.NoError(t, json.Unmarshal(document, &back))
		require.Equal(t, s, back)
	})
}

// TestFloatsAreThoseOfTheStandardLibrary down to the spelling.
func TestFloatsAreThoseOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	check := func(t require.TestingT, f float64) {
		want, err := json.Marshal(f)
		require.NoError(t, err)
		w := codec.NewWriter("")
		w.Float64(codec.Item, f)
		got, err := w.Finish()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1e21, 1e20, 1e-6, 1e-7, 1e-9, 1e-10, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		check(t, f)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Float64().Draw(t, "f")) })
}

func TestWriterViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		write func(w *codec.Writer)
		want  string
	}{
		"NUL":            {func(w *codec.Writer) { w.String(codec.Item, "a\x00b") }, "must not contain NUL"},
		"UTF-8":          {func(w *codec.Writer) { w.String(codec.Item, "a\xffb") }, "not valid UTF-8"},
		"NaN":            {func(w *codec.Writer) { w.Float64(codec.Item, math.NaN()) }, "must be a finite number"},
		"infinity":       {func(w *codec.Writer) { w.Float64(codec.Item, math.Inf(-1)) }, "must be a finite number"},
		"zero uuid":      {func(w *codec.Writer) { w.UUID(codec.Item, orchestrator.UUID{}) }, "is required"},
		"zero time":      {func(w *codec.Writer) { w.Time(codec.Item, time.Time{}) }, "is required"},
		"zero date":      {func(w *codec.Writer) { w.Date(codec.Item, orchestrator.Date{}) }, "is required"},
		"year 10000":     {func(w *codec.Writer) { w.Time(codec.Item, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) }, "must be in the years 0 to 9999, at whole minutes from UTC"},
		"raw JSON":       {func(w *codec.Writer) { w.Any(codec.Item, json.RawMessage(`{"a"`)) }, "not valid JSON"},
		"no raw JSON":    {func(w *codec.Writer) { w.Any(codec.Item, json.RawMessage{}) }, "not valid JSON"},
		"escaped NUL":    {func(w *codec.Writer) { w.Any(codec.Item, json.RawMessage(`"a\u0000"`)) }, `must not contain \u0000 or a lone surrogate`},
		"high surrogate": {func(w *codec.Writer) { w.Any(codec.Item, json.RawMessage(`"\ud800\u0041"`)) }, `must not contain \u0000 or a lone surrogate`},
		"low surrogate":  {func(w *codec.Writer) { w.Any(codec.Item, json.RawMessage(`"\udc00"`)) }, `must not contain \u0000 or a lone surrogate`},
		"short":          {func(w *codec.Writer) { w.MinLength("é", 2) }, "must have at least 2 characters"},
		"long":           {func(w *codec.Writer) { w.MaxLength("éé", 1) }, "must have at most 1 character"},
	} {
		w := codec.NewWriter("payload")
		c.write(w)
		_, err := w.Finish()
		require.EqualError(t, err, "payload: "+c.want, name)
	}
	w := codec.NewWriter("payload")
	w.BeginList(codec.Item)
	w.Any(codec.Item, json.RawMessage(` "\\u0000 \ud83d\ude00" `))
	w.EndList()
	document, err := w.Finish()
	require.NoError(t, err)
	require.Equal(t, `["\\u0000 \ud83d\ude00"]`, string(document))
}

func TestWriterBoundsItsErrors(t *testing.T) {
	t.Parallel()
	w := codec.NewWriter("payload")
	w.BeginList(codec.Item)
	for range 1000 {
		w.String(codec.Item, "\x00")
	}
	w.EndList()
	var violations *orchestrator.ValidationError
	require.ErrorAs(t, w.Err(), &violations)
	require.Len(t, violations.Violations, 101)
	require.Equal(t, "900 more violations", violations.Violations[100].Message)
}

func TestUniqueInLongLists(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 16, 17, 100} {
		items := make([]int, n)
		for i := range items {
			items[i] = i
		}
		items[n-1] = 1
		w := codec.NewWriter("")
		w.BeginObject(codec.Item)
		w.BeginList("ids")
		w.EndList()
		codec.Unique(w, items)
		var violations *orchestrator.ValidationError
		require.ErrorAs(t, w.Err(), &violations)
		require.Len(t, violations.Violations, 1)
		require.Equal(t, "duplicate of item 1", violations.Violations[0].Message)
	}
}

// TestKeysStayTheSame pins the text of keys: they are stored, and compared with
// those of later versions.
func TestKeysStayTheSame(t *testing.T) {
	t.Parallel()
	lisbon := time.FixedZone("", 3600)
	require.Equal(t, `[42,"wel\"come",true,-1,1.5,"19.9","00000000-0000-0000-0000-000000000001","2026-11-21T08:30:00.5Z","2026-11-21","PT1H30M","AQI="]`,
		codec.Key(int64(42), `wel"come`, true, -1, 1.5, orchestrator.MustDecimal("19.90"), orchestrator.UUID{15: 1},
			time.Date(2026, 11, 21, 9, 30, 0, 5e8, lisbon), orchestrator.MustDate("2026-11-21"), orchestrator.Duration(90*time.Minute), []byte{1, 2}))
	require.Equal(t, codec.Key(0.0), codec.Key(math.Copysign(0, -1)))
}

func TestKeysTellValuesApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		short := rapid.StringOfN(rapid.SampledFrom([]rune{'a', '"', ',', '\\', '[', ']'}), 0, 4, -1)
		a, b, c, d := short.Draw(t, "a"), short.Draw(t, "b"), short.Draw(t, "c"), short.Draw(t, "d")
		require.Equal(t, a == c && b == d, codec.Key(a, b) == codec.Key(c, d))
	})
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for format, texts := range map[codec.Format]struct{ good, bad []string }{
		codec.Email: {
			[]string{"a@b", "a.b+c@x-y.example", "!#$%&'*+-/=?^_`{|}~@example.com"},
			[]string{"", "a", "@b", "a@", "a@b@c", ".a@b", "a.@b", "a..b@c", "a b@c", "a@-b", "a@b..c", "Ann <a@b>", "é@b", "a@b\n"},
		},
		codec.URI: {
			[]string{"https://example.com/a?b=c#d", "urn:isbn:0451450523", "mailto:a@b"},
			[]string{"", "/relative", "example.com", "http://a b", "http://[", "http://é", "http://a/{b}"},
		},
		codec.IP: {
			[]string{"127.0.0.1", "::1", "2001:db8::ff00:42:8329"},
			[]string{"", "127.0.0.256", "127.0.0.01", "fe80::1%eth0", "[::1]", "10.0.0.0/8"},
		},
		codec.Hostname: {
			[]string{"localhost", "a.example", "xn--bcher-kva.example", "1.2.3.4"},
			[]string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "a.-b", "a_b", "é"},
		},
	} {
		for _, s := range texts.good {
			require.True(t, format.Valid(s), "%s %q", format, s)
		}
		for _, s := range texts.bad {
			require.False(t, format.Valid(s), "%s %q", format, s)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	definition := &orchestrator.Definition{Name: "email:send"}
	broken := &orchestrator.ValidationError{Subject: "payload", Violations: []orchestrator.Violation{{Pointer: "/to", Message: "not an email address"}}}
	var calls int
	e := enqueuer(func(batch []orchestrator.Request) ([]orchestrator.TaskRef, error) {
		calls++
		refs := make([]orchestrator.TaskRef, len(batch))
		for i := range refs {
			refs[i] = orchestrator.NewTaskRef(orchestrator.TaskID(i+1), false, nil)
		}
		return refs, nil
	})
	ctx := t.Context()

	b := codec.NewBatch(definition, 1)
	b.Add(nil, broken)
	_, err := b.EnqueueOne(ctx, e, nil)
	require.EqualError(t, err, "orchestrator: enqueue email:send: payload /to: not an email address")
	require.ErrorAs(t, err, &broken)

	b = codec.NewBatch(definition, 3)
	b.Add([]byte("{}"), nil)
	b.Add(nil, broken)
	b.Add(nil, errors.New("later"))
	_, err = b.Enqueue(ctx, e, nil)
	require.EqualError(t, err, "orchestrator: enqueue email:send: task 1 of the batch: payload /to: not an email address")

	refs, err := codec.NewBatch(definition, 0).Enqueue(ctx, e, nil)
	require.NoError(t, err)
	require.Empty(t, refs)
	require.Zero(t, calls, "nothing is sent when nothing is there or something is wrong")

	b = codec.NewBatch(definition, 2)
	b.Add([]byte("{}"), nil).GroupKey = "a"
	b.Add([]byte("{}"), nil).GroupKey = "b"
	refs, err = b.Enqueue(ctx, e, []orchestrator.EnqueueOption{orchestrator.WithIdempotencyKey("key")})
	require.NoError(t, err)
	require.Len(t, refs, 2)
	require.Equal(t, 1, calls)

	b = codec.NewBatch(definition, 1)
	b.Add([]byte("{}"), nil)
	_, err = b.EnqueueOne(ctx, enqueuer(func([]orchestrator.Request) ([]orchestrator.TaskRef, error) { return nil, nil }), nil)
	require.ErrorContains(t, err, "returned 0 references for 1 tasks")
}

type enqueuer func(batch []orchestrator.Request) ([]orchestrator.TaskRef, error)

func (e enqueuer) Enqueue(_ context.Context, batch []orchestrator.Request) ([]orchestrator.TaskRef, error) {
	return e(batch)
}

func containsNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}
