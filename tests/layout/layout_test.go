package layout

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/task-orchestrator/task-orchestrator/"

type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// packages lists the packages of this module.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,TestImports,XTestImports", module+"...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		require.NoError(t, d.Decode(&p))
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		if !strings.Contains(p.ImportPath, "/testdata/") {
			all = append(all, p)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestImports(t *testing.T) {
	t.Parallel()
	// forbidden says what the packages below a directory must not import, and why.
	forbidden := []struct{ below, imports, why string }{
		{"generate", module + "orchestrator", "the generator and the engine share nothing but the generated code"},
		{"generate", module + "migrations", "the generator knows nothing of databases"},
		{"orchestrator", module + "generate", "the generator and the engine share nothing but the generated code"},
		{"orchestrator", module + "generated", "the engine knows no task"},
		{"orchestrator", module + "cmd", "the library does not depend on its command"},
		{"migrations", module + "orchestrator", "the engine imports the migrations"},
		{"orchestrator/internal/store", module + "orchestrator/internal", "the store knows only SQL"},
	}
	// only says which packages alone may import something.
	only := []struct{ imports, by, why string }{
		{"gopkg.in/yaml.v3", "generate/spec", "so that its successor is a change of one package"},
		{"github.com/spf13/cobra", "cmd/orchestrator", "only the command has a command line"},
		{"github.com/jackc/pgx/v5/pgconn", "orchestrator", "the rest of the repository does not talk to PostgreSQL by itself"},
	}
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, rule := range forbidden {
				if within(p.ImportPath, rule.below) && within(imported, rule.imports) {
					require.Fail(t, p.ImportPath+" imports "+imported, rule.why)
				}
			}
			for _, rule := range only {
				if within(imported, rule.imports) && !within(p.ImportPath, rule.by) {
					require.Fail(t, p.ImportPath+" imports "+imported, rule.why)
				}
			}
		}
	}
}

// The codec is the engine's side of generated code: it imports the engine, and
// the engine must not know it.
func TestEngineDoesNotImportTheCodec(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.ImportPath == "orchestrator" {
			require.NotContains(t, p.Imports, module+"orchestrator/codec")
			return
		}
	}
	require.Fail(t, "package orchestrator not found")
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.Name != "main" && len(p.GoFiles) > 0 {
			require.NotEmpty(t, p.Doc, p.ImportPath+" has no package comment")
		}
		for _, vague := range []string{"util", "utils", "common", "helpers", "helper", "misc", "base"} {
			require.NotEqual(t, vague, filepath.Base(p.ImportPath), "a name that tells nothing")
		}
	}
}

func TestAssertionsStopTheTest(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		imports := slices.Concat(p.TestImports, p.XTestImports)
		require.NotContains(t, imports, "github.com/stretchr/testify/assert", p.ImportPath+": use require, which stops at the first failure")
	}
}
