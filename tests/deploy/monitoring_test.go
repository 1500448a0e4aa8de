package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func TestPrometheusReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("ORCHESTRATOR_REQUIRE_PROMETHEUS"), "promtool is not installed and ORCHESTRATOR_REQUIRE_PROMETHEUS is set")
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	// As compose.yaml mounts them.
	dir := t.TempDir()
	for name, path := range map[string]string{"prometheus.yml": "/prometheus/prometheus.yml", "orchestrator.rules.yml": "/monitoring/orchestrator.rules.yml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(read(t, folder+path)), 0o644))
	}
	out, err := exec.CommandContext(t.Context(), tool, "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "rules found")
}

func TestPrometheusScrapesTheWorkers(t *testing.T) {
	t.Parallel()
	var config struct {
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string `json:"names"`
				Port  int      `json:"port"`
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, folder+"/prometheus/prometheus.yml")), &config))
	require.Equal(t, []string{"worker"}, config.ScrapeConfigs[0].DNS[0].Names, "the service of compose.yaml")
	require.Equal(t, 9464, config.ScrapeConfigs[0].DNS[0].Port)
}

func TestGrafanaIsProvisioned(t *testing.T) {
	t.Parallel()
	var sources struct {
		Datasources []struct {
			UID       string `json:"uid"`
			URL       string `json:"url"`
			IsDefault bool   `json:"isDefault"`
			JSONData  struct {
				Exemplars []struct {
					Name string `json:"name"`
					UID  string `json:"datasourceUid"`
				} `json:"exemplarTraceIdDestinations"`
			} `json:"jsonData"`
		} `json:"datasources"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, folder+"/grafana/datasources/datasources.yml")), &sources))
	require.Len(t, sources.Datasources, 2)
	require.Equal(t, "http://prometheus:9090", sources.Datasources[0].URL)
	require.True(t, sources.Datasources[0].IsDefault)
	require.Equal(t, "trace_id", sources.Datasources[0].JSONData.Exemplars[0].Name, "the label of the engine's exemplars")
	require.Equal(t, sources.Datasources[1].UID, sources.Datasources[0].JSONData.Exemplars[0].UID)

	var dashboards struct {
		Providers []struct {
			Options struct {
				Path string `json:"path"`
			} `json:"options"`
		} `json:"providers"`
	}
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, folder+"/grafana/dashboards/dashboards.yml")), &map[string]any{}))
	require.NoError(t, yaml.Unmarshal([]byte(read(t, folder+"/grafana/dashboards/dashboards.yml")), &dashboards))
	mounted := false
	for _, volume := range compose(t, "compose.yaml").Services["grafana"].Volumes {
		mounted = mounted || filepath.Dir(volume.Target) == dashboards.Providers[0].Options.Path
	}
	require.True(t, mounted, "the dashboard is where Grafana looks")
}

// The rules and the dashboard are those of the program in the image.
func TestMonitoringIsCurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./cmd/orchestrator", "generate",
		"--spec", "examples/observed/tasks.yaml", "--out", filepath.Join(dir, "tasks"), "--monitoring", filepath.Join(dir, "monitoring"))
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{"orchestrator.rules.yml", "orchestrator.dashboard.json"} {
		require.Equal(t, read(t, filepath.Join(dir, "monitoring", name)), read(t, folder+"/monitoring/"+name),
			"run: orchestrator generate --spec examples/observed/tasks.yaml --monitoring deploy/monitoring")
	}
}
