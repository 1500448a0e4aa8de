package monitoring_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/monitoring"
)

// TestRulesAreCheckedByPromtool holds the golden rules against Prometheus's own
// tool.
func TestRulesAreCheckedByPromtool(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			// --lint-fatal: what it would only warn of, such as duplicates.
			run(t, tool, "check", "rules", "--lint-fatal", filepath.Join(dir, monitoring.RulesFile))
		})
	}
}

// TestAlertsFire runs the cases beside the golden rules: series of hours and
// days in, alerts out.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	files, err := filepath.Glob("testdata/*/rules*_test.yml")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			run(t, tool, "test", "rules", file)
		})
	}
}

// promtool comes with Debian's package prometheus.
func promtool(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("ORCHESTRATOR_REQUIRE_PROMETHEUS"), "promtool is not installed and ORCHESTRATOR_REQUIRE_PROMETHEUS is set")
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	return tool
}

func run(t *testing.T, tool string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}
