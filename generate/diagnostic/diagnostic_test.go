package diagnostic_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

func at(file string, line, column, length int, source string) diagnostic.Place {
	return diagnostic.Place{
		Position: diagnostic.Position{File: file, Line: line, Column: column},
		Length:   length,
		Source:   source,
	}
}

func text(t *testing.T, list diagnostic.List) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, list.WriteText(&b))
	return b.String()
}

func TestTextIsAsDesigned(t *testing.T) {
	t.Parallel()
	list := diagnostic.List{{
		Place:      at("tasks.yaml", 14, 5, 4, "    quue: email"),
		Path:       "tasks.email:send.quue",
		Message:    `unknown key "quue"`,
		Suggestion: `did you mean "queue"?`,
	}}
	const want = `tasks.yaml:14:5: tasks.email:send.quue: unknown key "quue"; did you mean "queue"?
  14 |     quue: email
     |     ^^^^
`
	require.Equal(t, want, text(t, list))
	require.EqualError(t, list.Err(), strings.TrimSuffix(want, "\n"))
}

func TestEmptyListIsNoError(t *testing.T) {
	t.Parallel()
	require.NoError(t, diagnostic.List(nil).Err())
	var b strings.Builder
	require.NoError(t, diagnostic.List(nil).WriteJSON(&b))
	require.JSONEq(t, `{"diagnostics": []}`, b.String())
}

func TestCaretsStandUnderTheText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source         string
		column, length int
		carets         string
	}{
		"tabs stay tabs":           {"\ta:\tb", 5, 1, "\t  \t^"},
		"wide characters are two":  {"名: 値", 4, 1, "    ^^"},
		"combining marks are none": {"e\u0301: x", 5, 1, "   ^"},
		"behind the end":           {"ab", 9, 3, "  ^"},
		"at least one":             {"ab", 1, 0, "^"},
		"never beyond the line":    {"abc", 2, 50, " ^^"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := diagnostic.List{{Place: at("f", 1, c.column, c.length, c.source), Message: "m"}}
			require.Equal(t, "f:1:"+fmt.Sprint(c.column)+": m\n  1 | "+c.source+"\n    | "+c.carets+"\n", text(t, list))
		})
	}
}

func TestTerminalIsNotObeyed(t *testing.T) {
	t.Parallel()
	list := diagnostic.List{{Place: at("f", 1, 1, 1, "a\x1b[31mb"), Message: "bad \x1b]0;x\a"}}
	require.NotContains(t, text(t, list), "\x1b")
	require.NotContains(t, text(t, list), "\a")
}

func TestLongLinesAreCutAroundTheCaret(t *testing.T) {
	t.Parallel()
	source := strings.Repeat("a", 5000) + "X" + strings.Repeat("b", 5000)
	got := text(t, diagnostic.List{{Place: at("f", 1, 5001, 1, source), Message: "m"}})
	lines := strings.Split(got, "\n")
	require.Less(t, len(lines[1]), 200)
	require.Equal(t, strings.Index(lines[1], "X")-len("…")+1, strings.Index(lines[2], "^"))
}

func TestJSON(t *testing.T) {
	t.Parallel()
	list := diagnostic.List{{
		Place:   at("tasks.yaml", 3, 5, 4, "    name: x"),
		Path:    "tasks.name",
		Message: "taken <twice>",
		Related: []diagnostic.Related{{Place: at("other.yaml", 1, 1, 0, "name: y"), Message: "here"}},
	}}
	var b strings.Builder
	require.NoError(t, list.WriteJSON(&b))
	require.JSONEq(t, `{"diagnostics": [{"file": "tasks.yaml", "line": 3, "column": 5, "end_column": 9,
		"path": "tasks.name", "message": "taken <twice>",
		"related": [{"file": "other.yaml", "line": 1, "column": 1, "end_column": 2, "message": "here"}]}]}`, b.String())
	require.Contains(t, b.String(), "<twice>")
	require.True(t, json.Valid([]byte(b.String())))
}

func TestBagSortsByFileThenPosition(t *testing.T) {
	t.Parallel()
	var bag diagnostic.Bag
	bag.File("root.yaml")
	bag.File("a.yaml")
	for _, place := range []diagnostic.Place{
		at("a.yaml", 1, 1, 1, ""), at("root.yaml", 10, 2, 1, ""), at("root.yaml", 9, 5, 1, ""),
		at("root.yaml", 10, 1, 1, ""), at("root.yaml", 9, 5, 1, ""), // the last is there twice
	} {
		bag.Add(diagnostic.Diagnostic{Place: place, Message: "m"})
	}
	var got []string
	for _, d := range bag.List() {
		got = append(got, d.Position.String())
	}
	require.Equal(t, []string{"root.yaml:9:5", "root.yaml:10:1", "root.yaml:10:2", "a.yaml:1:1"}, got)
}

func TestBagIsBounded(t *testing.T) {
	t.Parallel()
	var bag diagnostic.Bag
	for line := range 5000 {
		bag.Add(diagnostic.Diagnostic{Place: at("f", line+1, 1, 1, ""), Message: "m"})
	}
	list := bag.List()
	require.Equal(t, 5000, bag.Len())
	require.Len(t, list, 1001)
	require.Equal(t, "and 4000 more mistakes", list[1000].Message)
}

func TestClosest(t *testing.T) {
	t.Parallel()
	keys := []string{"queue", "priority", "timeout", "ttl", "retry"}
	for word, want := range map[string]string{
		"quue": "queue", "uqeue": "queue", "timout": "timeout", "prioritiy": "priority",
		"tll": "ttl", "banana": "", "x": "", "queue": "",
	} {
		require.Equal(t, want, diagnostic.Closest(word, keys), word)
	}
	require.Equal(t, `did you mean "ttl"?`, diagnostic.DidYouMean("ttll", keys))
	require.Empty(t, diagnostic.DidYouMean("banana", keys))
}

// A slip of one key is always mended: one letter left out, doubled or swapped
// with its neighbour.
func TestClosestMendsOneSlip(t *testing.T) {
	t.Parallel()
	keys := []string{"concurrency", "idempotency", "retention", "deadline"}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom(keys).Draw(t, "key")
		i := rapid.IntRange(0, len(key)-2).Draw(t, "at")
		slipped := rapid.SampledFrom([]string{
			key[:i] + key[i+1:],
			key[:i+1] + key[i:],
			key[:i] + key[i+1:i+2] + key[i:i+1] + key[i+2:],
		}).Draw(t, "slipped")
		if slipped == key {
			t.Skip("two equal letters swapped")
		}
		if got := diagnostic.Closest(slipped, keys); got != key {
			t.Fatalf("%q gives %q, not %q", slipped, got, key)
		}
	})
}
