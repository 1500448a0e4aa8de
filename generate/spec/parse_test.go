package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

func parse(text string) (*spec.File, diagnostic.List) {
	var bag diagnostic.Bag
	file := spec.Parse(fstest.MapFS{"tasks.yaml": {Data: []byte(text)}}, "tasks.yaml", &bag)
	return file, bag.List()
}

const head = "version: 1\npackage: tasks\n"

// FuzzParse: whatever the bytes, Parse ends, does not panic, reports what it
// does not return, and points at places that exist.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("../model/testdata/*/tasks.yaml")
	require.NoError(f, err)
	for _, name := range seeds {
		content, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(content)
	}
	for _, seed := range hostile {
		if len(seed) < 10_000 {
			f.Add([]byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		file, list := parse(string(content))
		if file == nil {
			require.NotEmpty(t, list)
		}
		for _, d := range list {
			require.Positive(t, d.Line)
			require.Positive(t, d.Column)
			require.NotEmpty(t, d.Message)
			require.Equal(t, "tasks.yaml", d.File)
		}
		var b strings.Builder
		require.NoError(t, list.WriteText(&b))
		require.NoError(t, list.WriteJSON(&b))
		require.Less(t, time.Since(start), 20*time.Second)
	})
}

// hostile are inputs that cost other YAML readers time, memory or a stack.
var hostile = map[string]string{
	"alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" +
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
	"alias of itself":     "a: &a\n  b: *a\n",
	"merge of itself":     "a: &a\n  <<: *a\n",
	"deep lists":          strings.Repeat("[", 5000),
	"deep mappings":       strings.Repeat("{a: ", 5000),
	"deep indentation":    indented(2000),
	"many keys":           many(50_000),
	"long line":           head + "tasks: {" + strings.Repeat("a:b: {}, ", 40_000) + "}\n",
	"long wide line":      head + "tasks: {" + strings.Repeat("ä: {}, ", 40_000) + "}\n",
	"long comment":        head + strings.Repeat("# c\n", 100_000) + "tasks: {}\n",
	"too large":           head + strings.Repeat("# padding\n", 300_000),
	"NUL":                 "version: \x00 1",
	"not UTF-8":           "version: \xff\xfe",
	"UTF-16":              "\xff\xfev\x00e\x00r\x00",
	"escaped NUL":         head + "tasks: {a:b: {description: \"\\0\"}}\n",
	"key is a key":        "? ? ? a\n: b\n",
	"no value":            "version",
	"byte order mark":     "\ufeff" + head,
	"carriage returns":    "version: 1\rpackage: tasks\rtasks: {}\r",
	"directive":           "%YAML 1.1\n---\nversion: 1\n",
	"long enum":           head + "types: {A: {enum: [" + strings.Repeat("a,", 100_000) + "]}}\n",
	"long key list":       head + "defaults: {group: [" + strings.Repeat("a,", 100_000) + "]}\n",
	"deep type":           head + "types: {A: " + strings.Repeat("list<", 100_000) + "}\n",
	"anchors everywhere":  strings.Repeat("&a ", 1000),
	"tags everywhere":     strings.Repeat("!!str ", 1000),
	"unclosed quote":      head + "x: \"" + strings.Repeat("a\n", 10_000),
	"only separators":     strings.Repeat("---\n", 10_000),
	"include of the root": head + "include: [tasks.yaml, \"*\"]\n",
}

func indented(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func many(keys int) string {
	var b strings.Builder
	for i := range keys {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	return b.String()
}

func TestHostileInputEndsSoon(t *testing.T) {
	t.Parallel()
	accepted := map[string]bool{
		"byte order mark": true, "carriage returns": true, "include of the root": true, "long comment": true,
		// Text of a description may hold anything.
		"escaped NUL": true,
	}
	for name, input := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, list := parse(input)
			require.Less(t, time.Since(start), 20*time.Second)
			if accepted[name] {
				require.Empty(t, list)
				return
			}
			require.NotEmpty(t, list)
			require.LessOrEqual(t, len(list), 1001)
		})
	}
}

func TestScalarsAreReadByTheirText(t *testing.T) {
	t.Parallel()
	file, list := parse(head + `
tasks:
  a:b:
    description: 2026-11-21
    timeout: "30s"
    priority: -5
    payload:
      yes: string
      on: {enum: [no, off, y, "1.10", "null"]}
`)
	require.Empty(t, list)
	task := file.Tasks[0]
	require.Equal(t, "2026-11-21", task.Description.V)
	require.Equal(t, 30*time.Second, task.Settings.Timeout.V)
	require.Equal(t, -5, task.Settings.Priority.V)
	require.Equal(t, "yes", task.Payload.Fields[0].Name.V)
	var values []string
	for _, v := range task.Payload.Fields[1].Definition.Values {
		values = append(values, v.Value.V)
	}
	require.Equal(t, []string{"no", "off", "y", "1.10", "null"}, values)
}

func TestCommentsBecomeDescriptions(t *testing.T) {
	t.Parallel()
	file, list := parse(head + `
tasks: # not this one
  # Not this one, which ends in an empty line.

  # Sends
  #
  # one message.
  a:send:
    payload:
      # The reader.
      to: string # behind
      # Not this.
      cc: {type: string, description: That.}
  ## A heading.
  a:other: {payload: {x: string}}
  a:third:
    description: |
      # inside a text
  a:fourth: {}
`)
	require.Empty(t, list)
	require.Equal(t, "Sends\n\none message.", file.Tasks[0].Description.V)
	require.Equal(t, "The reader.", file.Tasks[0].Payload.Fields[0].Definition.Description.V)
	require.Equal(t, "That.", file.Tasks[0].Payload.Fields[1].Definition.Description.V)
	require.Equal(t, "A heading.", file.Tasks[1].Description.V)
	require.Equal(t, "# inside a text", file.Tasks[2].Description.V)
	require.Empty(t, file.Tasks[3].Description.V)
}

func TestPositionsCountCharacters(t *testing.T) {
	t.Parallel()
	_, list := parse("version: 1\r\npackage: tasks\r\ntasks: {\"日本\": {}, a:b: {quue: x}}\r\n")
	require.Len(t, list, 2)
	require.Equal(t, diagnostic.Position{File: "tasks.yaml", Line: 3, Column: 9}, list[0].Position)
	require.Equal(t, 4, list[0].Length)
	require.Equal(t, diagnostic.Position{File: "tasks.yaml", Line: 3, Column: 25}, list[1].Position)
	require.NotContains(t, list[1].Source, "\r")
}

func TestRootInAFolder(t *testing.T) {
	t.Parallel()
	var bag diagnostic.Bag
	file := spec.Parse(fstest.MapFS{
		"conf/tasks.yaml":   {Data: []byte(head + "include: [parts/*.yaml]\n")},
		"conf/parts/a.yml":  {Data: []byte("tasks: 1")},
		"conf/parts/b.yaml": {Data: []byte("tasks: {a:b: {quue: x}}\n")},
		"parts/c.yaml":      {Data: []byte("tasks: 1")},
	}, "conf/tasks.yaml", &bag)
	require.Equal(t, []string{"tasks.yaml", "parts/b.yaml"}, file.Names)
	require.Len(t, bag.List(), 1)
	require.Equal(t, "conf/parts/b.yaml", bag.List()[0].File)
}

// A file that is not YAML stops the run: what else there is to say would only
// follow from it.
func TestSyntaxErrorsStopTheRun(t *testing.T) {
	t.Parallel()
	var bag diagnostic.Bag
	file := spec.Parse(fstest.MapFS{
		"tasks.yaml": {Data: []byte(head + "include: [\"part*.yaml\"]\nunknown: 1\n")},
		"part1.yaml": {Data: []byte("tasks: {")},
		"part2.yaml": {Data: []byte("tasks: [")},
	}, "tasks.yaml", &bag)
	require.Nil(t, file)
	list := bag.List()
	require.Len(t, list, 2)
	require.Equal(t, "part1.yaml", list[0].File)
	require.Equal(t, "part2.yaml", list[1].File)
}
