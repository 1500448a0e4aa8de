package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/cases"
)

// TestMain is also the child process of contestants, as main is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2], os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

// Every case runs to its end, with every contestant that is present, and every
// target gets a figure or a reason. The figures are not looked at.
func TestEveryCase(t *testing.T) {
	out := filepath.Join(t.TempDir(), "report.md")
	require.NoError(t, run(t.Context(), []string{"--cases", strings.Join(caseNames(), ","), "--scale", "0.002", "--rounds", "1", "--out", out}, io.Discard, t.Output()))
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	text := string(content)
	require.NotContains(t, text, "Broken off")
	require.NotContains(t, text, "NaN")
	_, targets, found := strings.Cut(text, "\n## Targets\n")
	require.True(t, found)
	for _, c := range cases.All() {
		_, section, found := strings.Cut(text, "\n## "+c.Title+"\n")
		require.True(t, found, c.Name)
		section, _, _ = strings.Cut(section, "\n## ")
		for _, name := range c.Contestants {
			require.Regexp(t, `(?m)^(\| `+name+` \| [0-9]|Without `+name+`: )`, section, c.Name)
		}
		require.Equal(t, len(c.Targets), strings.Count(targets, "\n| "+c.Name+" | "), c.Name)
	}
}

func TestWhatCannotBeRunIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		args []string
		says string
	}{
		{[]string{"--cases", "drain,drian"}, "--cases drian: no such case; there are "},
		{[]string{"--cases", "bulk", "--peers", "orchestrator,tapir"}, "--peers tapir: no such contestant; there are graphile-worker, orchestrator, river tuned"},
		{[]string{"--rounds", "0"}, "want at least one round"},
		{[]string{"--scale", "0"}, "a scale above 0"},
		{[]string{"drain"}, `"drain": want flags alone`},
	} {
		require.ErrorContains(t, run(t.Context(), bad.args, io.Discard, io.Discard), bad.says)
	}
}
