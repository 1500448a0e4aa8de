package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// specIn writes a spec into a new directory and returns its path.
func specIn(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tasks.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const goodSpec = `version: 1
package: jobs
defaults: {timeout: 2m}
policies:
  patient: {retry: {max_attempts: 20}}
tasks:
  email:send:
    policy: patient
    priority: 10
    payload: {to: string}
`

const badSpec = `version: 1
package: jobs
tasks:
  email:send:
    quue: mail
    timeout: 30
`

func TestGenerate(t *testing.T) {
	t.Parallel()
	spec := specIn(t, goodSpec)
	out := filepath.Join(filepath.Dir(spec), "jobs")

	got := terminal{}.run(t, "generate", "--spec", spec, "--check")
	require.Equal(t, exitFailure, got.status)
	require.Contains(t, got.stdout, "+package jobs")
	require.Equal(t, "orchestrator: "+out+" is not what "+spec+" generates: run `orchestrator generate`\n", got.stderr)
	require.NoDirExists(t, out)

	require.Equal(t, "wrote "+out+"/email_gen.go\nwrote "+out+"/tasks_gen.go\n", terminal{}.good(t, "generate", "--spec", spec))
	require.FileExists(t, filepath.Join(out, "email_gen.go"))
	require.Empty(t, terminal{}.good(t, "generate", "--spec", spec), "nothing to say when nothing changes")
	require.Empty(t, terminal{}.good(t, "generate", "--spec", spec, "--check"))

	require.NoError(t, os.WriteFile(spec, []byte(strings.ReplaceAll(goodSpec, "email:", "mail:")), 0o600))
	require.Equal(t, "wrote "+out+"/mail_gen.go\nwrote "+out+"/tasks_gen.go\nremoved "+out+"/email_gen.go\n", terminal{}.good(t, "generate", "--spec", spec))

	elsewhere := filepath.Join(t.TempDir(), "pkg")
	require.Contains(t, terminal{}.good(t, "generate", "--spec", spec, "--out", elsewhere), elsewhere)
}

func TestMistakesOfASpec(t *testing.T) {
	t.Parallel()
	spec := specIn(t, badSpec)
	want := spec + `:5:5: tasks.email:send.quue: unknown key "quue"; did you mean "queue"?
  5 |     quue: mail
    |     ^^^^
` + spec + `:6:14: `
	for _, args := range [][]string{{"generate"}, {"validate"}, {"explain", "email:send"}} {
		got := terminal{}.run(t, append(args, "--spec", spec)...)
		require.Equal(t, exitFailure, got.status)
		require.Empty(t, got.stdout)
		require.Contains(t, got.stderr, want)
		require.NotContains(t, got.stderr, "orchestrator:")

		got = terminal{}.run(t, append(args, "--spec", spec, "--format", "json")...)
		require.Equal(t, exitFailure, got.status)
		require.Empty(t, got.stderr)
		var report struct {
			Diagnostics []struct {
				File string
				Line int
			}
		}
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
		require.Len(t, report.Diagnostics, 2)
		require.Equal(t, spec, report.Diagnostics[0].File)
	}
	require.NoDirExists(t, filepath.Join(filepath.Dir(spec), "jobs"))

	got := terminal{}.run(t, "generate", "--spec", "no/such.yaml")
	require.Equal(t, outcome{"", "orchestrator: there is no no/such.yaml: name the file with --spec, or write a first one with `orchestrator init`\n", exitFailure}, got)
	require.Equal(t, got, terminal{}.run(t, "validate", "--spec", "no/such.yaml"))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	spec := specIn(t, goodSpec)
	require.Equal(t, spec+" is good: 1 task, 1 queue, 0 schedules\n", terminal{}.good(t, "validate", "--spec", spec))
	require.JSONEq(t, `{"diagnostics": []}`, terminal{}.good(t, "validate", "--spec", spec, "--format", "json"))
}

func TestExplain(t *testing.T) {
	t.Parallel()
	spec := specIn(t, goodSpec)
	text := blanks.ReplaceAllString(terminal{}.good(t, "explain", "email:send", "--spec", spec), "  ")
	for _, want := range []string{
		"SETTING  VALUE  FROM\n",
		"\npriority  10  task (" + spec + ":9)\n",
		"\ntimeout  2m  defaults (" + spec + ":3)\n",
		"\nretry.max_attempts  20  policy patient (" + spec + ":5)\n",
		"\nretry.base_delay  1s  default of the engine\n",
	} {
		require.Contains(t, text, want)
	}
	list := objects(t, terminal{}.good(t, "explain", "email:send", "--spec", spec, "--json"))
	require.Contains(t, list, map[string]any{"key": "priority", "value": "10", "origin": "task", "file": spec, "line": 9.0})
	got := terminal{}.run(t, "explain", "email:sned", "--spec", spec)
	require.Equal(t, outcome{"", "orchestrator: " + spec + ": no task \"email:sned\"; did you mean \"email:send\"?\n", exitFailure}, got)
}
