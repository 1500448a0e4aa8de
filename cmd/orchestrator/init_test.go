package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInitOfANewProject(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "My App")
	require.Equal(t, `wrote go.mod
wrote tasks.yaml
wrote main.go
wrote Makefile
wrote tasks/greeting_gen.go
wrote tasks/tasks_gen.go
changed go.mod

Next:
  cd `+dir+`
  go mod tidy
  go tool orchestrator dev -- go run .
After a change of tasks.yaml:
  go generate ./...
`, terminal{environ: os.Environ()}.good(t, "init", dir, "--replace", root))
	module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(module), "module my-app\n")
	require.Contains(t, string(module), "tool "+modulePath+"/cmd/orchestrator")
	program, err := os.ReadFile(filepath.Join(dir, "main.go"))
	require.NoError(t, err)
	require.Contains(t, string(program), "\"my-app/tasks\"\n)\n\n//go:generate go tool orchestrator generate\n")

	got := terminal{environ: os.Environ()}.run(t, "init", dir, "--replace", root)
	require.Equal(t, exitFailure, got.status)
	require.Contains(t, got.stderr, "tasks.yaml is there already")
}

func TestInitInAModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/shop\n\ngo 1.26.0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Makefile"), []byte("mine"), 0o600))
	work := filepath.Join(dir, "internal", "work")
	require.NoError(t, os.MkdirAll(filepath.Join(work, "cmd", "worker"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(work, "cmd", "worker", "main.go"), []byte("package main // mine\n"), 0o600))

	got := terminal{environ: os.Environ()}.good(t, "init", work, "--package", "jobs")
	require.Contains(t, got, "wrote tasks.yaml\nwrote jobs/generate.go\nkept cmd/worker/main.go\nwrote jobs/greeting_gen.go\nwrote jobs/tasks_gen.go\n")
	require.Contains(t, got, "go tool orchestrator dev -- go run ./cmd/worker\n")
	for name, want := range map[string]string{
		filepath.Join(dir, "Makefile"):                  "mine",
		filepath.Join(work, "cmd", "worker", "main.go"): "package main // mine\n",
		filepath.Join(work, "jobs", "generate.go"):      "package jobs\n\n//go:generate go tool orchestrator generate --spec ../tasks.yaml --out .\n",
	} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

func TestInitRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"want a Go package name": {"--package", "My-Tasks"},
		"want a clone of":        {"--replace", dir},
	} {
		got := terminal{}.run(t, append([]string{"init", filepath.Join(dir, "x")}, args...)...)
		require.Equal(t, exitFailure, got.status)
		require.Contains(t, got.stderr, want)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/shop\n"), 0o600))
	got := terminal{}.run(t, "init", dir, "--module", "example.com/other")
	require.Contains(t, got.stderr, "is in the module example.com/shop")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tasks"), 0o755))
	got = terminal{}.run(t, "init", dir)
	require.Contains(t, got.stderr, "tasks is there already")
	require.NoFileExists(t, filepath.Join(dir, "tasks.yaml"))
}
