package main

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestHandlerCountsOneFile(t *testing.T) {
	t.Parallel()
	out := handle(t, "a/a.go", "package a\n\nfunc Exported() {}\n\nfunc other() {}")
	require.NoError(t, out.Err)
	require.Equal(t, orchestrator.Succeeded, out.State)
	require.Equal(t, generated.SourceIndexResult{Lines: 4, Bytes: 46, Exported: 1}, out.Result)
}

func TestHandlerGivesUpOnWhatTheParserRejects(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"empty":     "",
		"not Go":    "This is no Go.\n",
		"half a go": "package a\n\nfunc Half( {\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := handle(t, "a/a.go", source)
			require.ErrorIs(t, out.Err, generated.SourceIndexSyntax)
			require.Regexp(t, `^syntax: a/a\.go:\d+:\d+: `, out.Err.Error())
			require.Equal(t, orchestrator.Dead, out.State)
			require.Equal(t, generated.SourceIndexSyntax, out.Code)
		})
	}
}

func TestHandlerTriesAgainWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"missing.go", "../outside.go", "/etc/passwd"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			out := orchestratortest.Run(t, &generated.SourceIndex, indexer{tree: fstest.MapFS{}}.HandleSourceIndex,
				generated.SourceIndexPayload{Path: path, Package: "."})
			require.ErrorContains(t, out.Err, path)
			require.Equal(t, orchestrator.Retrying, out.State)
		})
	}
}

func handle(t *testing.T, path, source string) orchestratortest.Outcome[generated.SourceIndexResult] {
	t.Helper()
	x := indexer{tree: fstest.MapFS{path: {Data: []byte(source)}}}
	return orchestratortest.Run(t, &generated.SourceIndex, x.HandleSourceIndex, generated.SourceIndexPayload{Path: path, Package: "a"})
}
