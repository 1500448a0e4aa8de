package model

import (
	"fmt"
	"go/token"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

func loadText(text string) (*Spec, diagnostic.List) {
	const head = "version: 1\npackage: tasks\n"
	return Load(fstest.MapFS{"tasks.yaml": {Data: []byte(head + text)}}, "tasks.yaml")
}

// load reads a good spec.
func load(t *testing.T, text string) *Spec {
	t.Helper()
	s, list := loadText(text)
	require.NoError(t, list.Err())
	return s
}

// only reads a spec with one mistake.
func only(t *testing.T, text string) diagnostic.Diagnostic {
	t.Helper()
	s, list := loadText(text)
	require.Nil(t, s)
	require.Len(t, list, 1, "%s\n%v", text, list.Err())
	return list[0]
}

func TestMissingFileIsADiagnostic(t *testing.T) {
	t.Parallel()
	s, list := Load(os.DirFS(t.TempDir()), "tasks.yaml")
	require.Nil(t, s)
	require.Len(t, list, 1)
	require.Contains(t, list[0].String(), "tasks.yaml:1:1: there is no such file; `orchestrator init`")
}

// What a mistake takes with it is not reported a second time.
func TestMistakesDoNotCascade(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"queue with a bad name":   "queues: {Mail: {}}\ntasks: {a:b: {queue: Mail}, a:c: {queue: Mail}}\n",
		"type with a bad name":    "types: {line_item: {object: {sku: string}}}\ntasks: {a:b: {payload: {item: line_item}}}\n",
		"policy with a bad name":  "policies: {Big: {}}\ntasks: {a:b: {policy: Big}}\n",
		"task with a bad name":    "tasks: {sendMail: {}}\nschedules: {s: {task: sendMail, cron: \"@daily\"}}\n",
		"field with a bad name":   "tasks: {a:b: {group: user_id, payload: {userId: int}}}\n",
		"field with a bad type":   "tasks: {a:b: {group: id, payload: {id: strng}}}\nschedules: {s: {task: \"a:b\", cron: \"@daily\", payload: {id: 1}}}\n",
		"field that was refused":  "tasks: {a:b: {group: id, payload: {id:int64}}}\n",
		"payload that is no type": "tasks: {a:b: {group: id, payload: Missing}}\n",
		"payload of a list":       "tasks: {a:b: {group: id, payload: [id]}}\n",
		"type without a body":     "types: {A: {min: 3}}\ntasks: {a:b: {group: id, payload: A}}\n",
		"policy used by many":     "policies: {p: {queue: none}}\ntasks: {a:b: {policy: p}, a:c: {policy: p}}\n",
		"schedule glued":          "tasks: {a:b: {}}\nschedules: {s: {task:a:b, cron: \"@daily\"}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			only(t, text)
		})
	}
}

func TestCronExpressions(t *testing.T) {
	t.Parallel()
	const text = "tasks: {a:b: {}}\nschedules: {s: {task: \"a:b\", cron: %q, timezone: Europe/Lisbon}}\n"
	for _, cron := range []string{"0 0 29 2 *", "0 0 29 2 1", "@every 90m", "*/5 * * * *", "0 0 31 12 *", "30 2 * * SUN"} {
		load(t, fmt.Sprintf(text, cron))
	}
	for _, cron := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *", "@reboot", "", "a b c d e"} {
		require.Equal(t, "schedules.s.cron", only(t, fmt.Sprintf(text, cron)).Path, cron)
	}
}

// A default is accepted only where the zero value cannot be meant.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"{type: int, default: 0}":                                     "0",
		"{type: int, min: 1, default: 5}":                             "5",
		"{type: int, max: -1, default: -5}":                           "-5",
		"{type: bool, default: false}":                                "false",
		"{type: string, default: \"\"}":                               `""`,
		"{type: string, min_length: 1, default: 5}":                   `"5"`,
		"{type: string, pattern: '^a', default: a<b}":                 `"a<b"`,
		"{type: decimal, min: 0.01, default: 1.10}":                   `"1.10"`,
		"{type: duration, min: 1s, default: 1d1h1m1.5s}":              `"PT25H1M1.5S"`,
		"{type: date, default: 2026-11-21}":                           `"2026-11-21"`,
		"{type: time, default: 2026-11-21T01:00:00+02:00}":            `"2026-11-20T23:00:00Z"`,
		"{type: float64, min: 0.5, default: 1.0}":                     "1",
		"{enum: [a, b], default: b}":                                  `"b"`,
		"{type: uuid, default: 6F9619FF-8B86-D011-B42D-00C04FC964FF}": `"6f9619ff-8b86-d011-b42d-00c04fc964ff"`,
	} {
		s := load(t, "tasks: {a:b: {payload: {f: "+field+"}}}\n")
		require.Equal(t, want, s.Tasks[0].Payload.Fields[0].Default, field)
		require.True(t, s.Tasks[0].Payload.Defaults)
	}
	for _, field := range []string{
		"{type: bool, default: true}", "{type: int, default: 1}", "{type: int, max: 10, default: 1}",
		"{type: string, max_length: 5, default: a}", "{type: string, pattern: '^a?$', default: a}",
		"{type: float64, min: -1, default: 0.5}", "{type: duration, default: 5m}", "{type: any, default: 1}",
		"{type: uuid, default: 00000000-0000-0000-0000-000000000000}", "{type: date, default: 0001-01-01}",
		"{type: int, min: 3, default: 0}", "{type: bool, default: yes}", "{type: bytes, default: AAAA}",
	} {
		require.Equal(t, "tasks.a:b.payload.f.default", only(t, "tasks: {a:b: {payload: {f: "+field+"}}}\n").Path, field)
	}
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	print := func(task, rest string) string {
		return load(t, "tasks: {"+task+"}\n"+rest).Tasks[0].Fingerprint
	}
	base := print("a:b: {payload: {id: int64, kind: {enum: [x, y]}}}", "")
	require.Regexp(t, `^v1:[0-9a-f]{32}$`, base)
	require.Equal(t, "v1:"+hash(`payload object(`+hash("id:int64\nkind:enum(\"x\",\"y\")")+`)`), base,
		"the encoding is a promise: stored contracts are compared with it")

	for name, same := range map[string]string{
		"order of fields":      "a:b: {payload: {kind: {enum: [x, y]}, id: int64}}",
		"order of enum values": "a:b: {payload: {id: int64, kind: {enum: [y, x]}}}",
		"description":          "a:b: {payload: {id: {type: int64, description: The id.}, kind: {enum: [x, y]}}}",
		"sensitive":            "a:b: {payload: {id: {type: int64, sensitive: true}, kind: {enum: [x, y]}}}",
		"Go names":             "a:b: {go_name: Other, payload: {id: {type: int64, go_name: Key}, kind: {enum: [{value: x, go_name: Ix}, y]}}}",
		"policies":             "a:b: {timeout: 5m, retry: {give_up_on: [bad]}, payload: {id: int64, kind: {enum: [x, y]}}}",
		"name":                 "c:d: {payload: {id: int64, kind: {enum: [x, y]}}}",
	} {
		require.Equal(t, base, print(same, ""), name)
	}
	require.Equal(t, base, print("a:b: {payload: P}", "types: {P: {object: {id: Id, kind: Kind}}, Id: {type: int64}, Kind: {enum: [x, y]}}\n"), "named types")

	seen := map[string]string{"base": base}
	for name, other := range map[string]string{
		"new field":    "a:b: {payload: {id: int64, kind: {enum: [x, y]}, more: optional<int>}}",
		"other type":   "a:b: {payload: {id: int, kind: {enum: [x, y]}}}",
		"optional":     "a:b: {payload: {id: optional<int64>, kind: {enum: [x, y]}}}",
		"constraint":   "a:b: {payload: {id: {type: int64, min: 1}, kind: {enum: [x, y]}}}",
		"default":      "a:b: {payload: {id: {type: int64, default: 0}, kind: {enum: [x, y]}}}",
		"enum value":   "a:b: {payload: {id: int64, kind: {enum: [x, y, z]}}}",
		"field's name": "a:b: {payload: {idd: int64, kind: {enum: [x, y]}}}",
		"empty result": "a:b: {result: {}, payload: {id: int64, kind: {enum: [x, y]}}}",
		"swapped":      "a:b: {result: {id: int64, kind: {enum: [x, y]}}}",
	} {
		got := print(other, "")
		for before, fingerprint := range seen {
			require.NotEqual(t, fingerprint, got, "%s and %s", before, name)
		}
		seen[name] = got
	}
	require.Equal(t,
		print("a:b: {payload: {x: {type: decimal, min: 1.10}}}", ""),
		print("a:b: {payload: {x: {type: decimal, min: 1.1}}}", ""), "equal bounds")
}

func TestGoNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"user_id": "UserID", "email:send": "EmailSend", "http_url": "HTTPURL", "user_ids": "UserIDs", "idea": "Idea",
		"api:json_import": "APIJSONImport", "a_1": "A1", "ip": "IP", "utf8_text": "UTF8Text", "type": "Type",
	} {
		require.Equal(t, want, goName(name))
	}
	for value, want := range map[string]string{
		"EUR": "EUR", "in_progress": "InProgress", "text/html": "TextHTML", "a-b": "AB", "user id": "UserID",
		"<": "U003C", "<=": "U003CU003D", "été": "Été", "1": "1", "...": "U002EU002EU002E",
	} {
		require.Equal(t, want, enumGoName(value))
	}
}

// Whatever the name, the Go name is an exported identifier.
func TestGoNamesAreIdentifiers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,5}){0,3}(:[a-z][a-z0-9]{0,5}){0,2}`).Draw(t, "name")
		if got := goName(name); !token.IsExported(got) || !token.IsIdentifier(got) {
			t.Fatalf("%q gives %q", name, got)
		}
		value := rapid.StringN(1, 20, 128).Draw(t, "value")
		if got := "Enum" + enumGoName(value); got == "Enum" || !token.IsIdentifier(got) {
			t.Fatalf("%q gives %q", value, got)
		}
	})
}

// 700 tasks of 8 fields load in a fraction of the half second they may take;
// the bound leaves room for a loaded machine and the race detector.
func TestLargeSpecLoadsFast(t *testing.T) {
	t.Parallel()
	text := largeSpec(700, 8)
	start := time.Now()
	s := load(t, text)
	took := time.Since(start)
	require.Len(t, s.Tasks, 700)
	require.Len(t, s.Segments, 70)
	require.Less(t, took, 5*time.Second)
}

func BenchmarkLoad700(b *testing.B) {
	text := largeSpec(700, 8)
	for b.Loop() {
		if _, list := loadText(text); len(list) > 0 {
			b.Fatal(list.Err())
		}
	}
}

func largeSpec(tasks, fields int) string {
	var b strings.Builder
	b.WriteString("tasks:\n")
	for i := range tasks {
		fmt.Fprintf(&b, "  # Task number %d.\n  area%d:task_%d:\n    timeout: 30s\n    retry: {max_attempts: 8}\n    payload:\n", i, i%70, i)
		for f := range fields {
			fmt.Fprintf(&b, "      field_%d: {type: string, min_length: 1, description: \"Field %d.\"}\n", f, f)
		}
	}
	return b.String()
}
