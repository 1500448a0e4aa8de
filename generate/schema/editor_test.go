package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// TestEditorSchemaAcceptsGoodSpecs holds every spec that the generator accepts
// in its golden tests, the design's example among them, against the schema.
func TestEditorSchemaAcceptsGoodSpecs(t *testing.T) {
	t.Parallel()
	schema := editorSchema(t)
	resolved, err := filepath.Glob("../model/testdata/*/model.txt")
	require.NoError(t, err)
	require.Contains(t, resolved, filepath.FromSlash("../model/testdata/design/model.txt"))
	for _, golden := range resolved {
		folder := filepath.Dir(golden)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			var bag diagnostic.Bag
			file := spec.Parse(os.DirFS(folder), "tasks.yaml", &bag)
			require.Empty(t, bag.List())
			for i, document := range file.Documents {
				require.NoError(t, schema.Validate(plain(document)), file.Names[i])
			}
		})
	}
}

// TestEditorSchemaRefusesMistakes holds typical mistakes against it. Each stands
// alone in a spec that is good otherwise.
func TestEditorSchemaRefusesMistakes(t *testing.T) {
	t.Parallel()
	schema := editorSchema(t)
	const good = "version: 1\npackage: tasks\n"
	for _, control := range []string{
		"",
		"tasks: {a:b: {timeout: 30s, concurrency: {total: 3}, payload: {id: {enum: [a]}}}}\n",
		"schedules: {a: {task: \"a:b\", cron: \"@daily\"}}\n",
		"queues: {a: {concurrency: {total: 5}}}\n",
		"queues: {a: {slo: {start_within: 30s, succeed: 99.5%}}}\n",
		"tasks: {a:b: {slo: {start_within: none, succeed: 0.5%}}}\n",
		"tasks: {a:b: {on_finish: {webhook: \"https://example.com/@me?a=b\", states: dead}}}\n",
		"tasks: {a:b: {on_finish: none}}\n",
	} {
		require.NoError(t, schema.Validate(parsed(t, good+control)), control)
	}

	for name, mistake := range map[string]string{
		"unknown top key":          "task: {a:b: {}}",
		"other version":            "version: 2",
		"package":                  "package: My-Tasks",
		"unknown task key":         "tasks: {a:b: {quue: default}}",
		"misplaced retry key":      "tasks: {a:b: {max_attempts: 3}}",
		"unknown retry key":        "tasks: {a:b: {retry: {attempts: 3}}}",
		"task name":                "tasks: {sendEmail: {}}",
		"queue name":               "queues: {Email: {}}",
		"type name":                "types: {line_item: {object: {sku: string}}}",
		"field name":               "tasks: {a:b: {payload: {userId: int64}}}",
		"bare timeout":             "tasks: {a:b: {timeout: 30}}",
		"clock timeout":            "tasks: {a:b: {timeout: \"1:30\"}}",
		"priority":                 "tasks: {a:b: {priority: 500}}",
		"backoff":                  "tasks: {a:b: {retry: {backoff: exponental}}}",
		"rate":                     "tasks: {a:b: {rate_limit: 100}}",
		"webhook with a password":  "tasks: {a:b: {on_finish: {webhook: \"https://a:b@example.com\"}}}",
		"webhook without a scheme": "tasks: {a:b: {on_finish: {webhook: example.com}}}",
		"webhook states":           "tasks: {a:b: {on_finish: {webhook: \"https://example.com\", states: [failed]}}}",
		"on_duplicate":             "tasks: {a:b: {idempotency: {key: id, on_duplicate: ignore}}}",
		"per_worker of a task":     "tasks: {a:b: {concurrency: {per_worker: 3}}}",
		"type spelling":            "tasks: {a:b: {payload: {id: integer}}}",
		"optional mark":            "tasks: {a:b: {payload: {id: \"string?\"}}}",
		"array mark":               "tasks: {a:b: {payload: {id: \"string[]\"}}}",
		"keyed map":                "tasks: {a:b: {payload: {id: \"map<string, int>\"}}}",
		"bare list":                "tasks: {a:b: {payload: {id: list}}}",
		"two forms":                "tasks: {a:b: {payload: {id: {type: string, enum: [a]}}}}",
		"no form":                  "tasks: {a:b: {payload: {id: {min: 1}}}}",
		"required":                 "tasks: {a:b: {payload: {id: {type: string, required: true}}}}",
		"enum of a number":         "tasks: {a:b: {payload: {id: {enum: [1]}}}}",
		"enum of null":             "tasks: {a:b: {payload: {id: {enum: [a, null]}}}}",
		"empty enum":               "tasks: {a:b: {payload: {id: {enum: []}}}}",
		"format":                   "tasks: {a:b: {payload: {id: {type: string, format: mail}}}}",
		"sensitive":                "tasks: {a:b: {payload: {id: {type: string, sensitive: 1}}}}",
		"scalar payload":           "tasks: {a:b: {payload: string}}",
		"schedule without task":    "schedules: {a: {cron: \"0 3 * * *\"}}",
		"schedule without cron":    "schedules: {a: {task: \"a:b\"}}",
		"cron with seconds":        "schedules: {a: {task: \"a:b\", cron: \"0 0 3 * * *\"}}",
		"missed":                   "schedules: {a: {task: \"a:b\", cron: \"@daily\", missed: run}}",
		"glued colon":              "schedules: {a: {task:b, cron: \"@daily\"}}",
		"payload in defaults":      "defaults: {payload: {id: int}}",
		"unknown key in a policy":  "policies: {patient: {timout: 5m}}",
		"go_name":                  "tasks: {a:b: {go_name: sendMail}}",
		"concurrency without keys": "queues: {a: {concurrency: 5}}",
		"empty slo":                "tasks: {a:b: {slo: {}}}",
		"unknown slo key":          "tasks: {a:b: {slo: {latency: 30s}}}",
		"none of a queue":          "queues: {a: {slo: {succeed: none}}}",
		"percent without sign":     "queues: {a: {slo: {succeed: 99.5}}}",
		"all of them":              "tasks: {a:b: {slo: {succeed: 100%}}}",
		"none of them":             "tasks: {a:b: {slo: {succeed: 0.00%}}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := good + mistake + "\n"
			if key, _, _ := strings.Cut(mistake, ":"); strings.Contains(good, key+":") {
				text = mistake + "\n"
			}
			require.Error(t, schema.Validate(parsed(t, text)), text)
		})
	}
}

func editorSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open("tasks.schema.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	document, err := jsonschema.UnmarshalJSON(file)
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	const name = "tasks.schema.json"
	require.NoError(t, compiler.AddResource(name, document))
	schema, err := compiler.Compile(name)
	require.NoError(t, err)
	return schema
}

// parsed reads a spec as an editor would, whatever the generator says of it.
func parsed(t *testing.T, text string) any {
	t.Helper()
	var bag diagnostic.Bag
	file := spec.Parse(fstest.MapFS{"tasks.yaml": {Data: []byte(text)}}, "tasks.yaml", &bag)
	require.NotNil(t, file, "not YAML: %s", text)
	return plain(file.Documents[0])
}

// plain turns a node into what JSON would hold.
func plain(n *spec.Node) any {
	switch {
	case n.Kind == spec.Mapping:
		object := make(map[string]any, len(n.Pairs))
		for _, pair := range n.Pairs {
			object[pair.Key.Text] = plain(pair.Value)
		}
		return object
	case n.Kind == spec.Sequence:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = plain(item)
		}
		return list
	case n.Class == spec.Null:
		return nil
	case n.Class == spec.Bool:
		return n.Text == "true"
	case n.Class == spec.Number:
		return json.Number(n.Text)
	default:
		return n.Text
	}
}
