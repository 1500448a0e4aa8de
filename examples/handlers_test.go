package examples

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDeletedHandlerBreaksTheBuild builds each example as if its handler method
// had been deleted: the compiler has to name what is missing.
func TestDeletedHandlerBreaksTheBuild(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, method string
		want         string
	}{
		{"backup/handler.go", "HandleBackupDatabase",
			"*backups does not implement tasks.Handlers (missing method HandleBackupDatabase)"},
		{"devserver/handler.go", "HandleServiceRun",
			"*supervisor does not implement tasks.Handlers (missing method HandleServiceRun)"},
		{"demonstration/handlers.go", "HandleDemoFlaky",
			"handlers does not implement tasks.Handlers (missing method HandleDemoFlaky)"},
		{"flow/handlers.go", "HandleLedgerPost",
			"worker does not implement tasks.Handlers (missing method HandleLedgerPost)"},
		{"quickstart/main.go", "HandleEmailWelcome",
			"handlers does not implement tasks.Handlers (missing method HandleEmailWelcome)"},
		{"stdlib-index/handler.go", "HandleSourceIndex",
			"indexer does not implement generated.SourceHandlers (missing method HandleSourceIndex)"},
		{"transactional/handler.go", "HandleOrderConfirm",
			"*shop does not implement generated.OrderHandlers (missing method HandleOrderConfirm)"},
	} {
		t.Run(c.method, func(t *testing.T) {
			t.Parallel()
			path, err := filepath.Abs(c.file)
			require.NoError(t, err)
			build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "-overlay", overlay(t, path, c.method), "./"+filepath.Dir(c.file))
			output, err := build.CombinedOutput()
			require.Error(t, err, "it still builds")
			require.Contains(t, string(output), c.want)
		})
	}
}

// overlay describes a source tree that differs in one file, which lacks a method.
func overlay(t *testing.T, path, method string) (file string) {
	t.Helper()
	fset := token.NewFileSet()
	source, err := parser.ParseFile(fset, path, nil, 0)
	require.NoError(t, err)
	before := len(source.Decls)
	source.Decls = slices.DeleteFunc(source.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Recv != nil && f.Name.Name == method
	})
	require.Len(t, source.Decls, before-1, "%s has no method %s", path, method)
	var without bytes.Buffer
	require.NoError(t, printer.Fprint(&without, fset, source))

	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	require.NoError(t, os.WriteFile(changed, without.Bytes(), 0o644))
	description, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	require.NoError(t, err)
	file = filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, description, 0o644))
	return file
}
