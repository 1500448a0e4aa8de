package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// compose loads files as `docker compose config` does: by the same library,
// with its schema, its merging and its interpolation.
func compose(t *testing.T, names ...string) *types.Project {
	t.Helper()
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(filepath.FromSlash(folder), name)
	}
	options, err := cli.NewProjectOptions(paths, cli.WithResolvedPaths(true), cli.WithConsistency(true))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func TestComposeFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files   []string
		workers int
	}{
		{[]string{"compose.yaml"}, 1},
		{[]string{"compose.yaml", "compose.three-workers.yaml"}, 3},
	} {
		t.Run(test.files[len(test.files)-1], func(t *testing.T) {
			t.Parallel()
			project := compose(t, test.files...)
			names := project.ServiceNames()
			require.Equal(t, []string{"grafana", "jaeger", "migrate", "postgres", "prometheus", "web", "worker"}, names)
			for _, name := range names {
				service := project.Services[name]
				requireImage(t, service.Image)
				for _, published := range service.Ports {
					require.Equal(t, "127.0.0.1", published.HostIP, name)
				}
				for _, volume := range service.Volumes {
					if volume.Type == types.VolumeTypeBind {
						require.True(t, volume.ReadOnly, volume.Source)
						_, err := os.Stat(volume.Source)
						require.NoError(t, err)
					}
				}
			}
			worker := project.Services["worker"]
			require.Equal(t, test.workers, worker.GetScale())
			require.Empty(t, worker.Ports, "three cannot publish one port")
			require.Equal(t, []string{port}, []string(worker.Expose))
			require.Equal(t, everywhere, *worker.Environment["HTTP_ADDR"])
			requireGrace(t, *worker.Environment["SHUTDOWN_TIMEOUT"], time.Duration(*worker.StopGracePeriod))
		})
	}
}

func TestComposeSetsWhatTheEngineReads(t *testing.T) {
	t.Parallel()
	project := compose(t, "compose.yaml")
	programs := 0
	for name, service := range project.Services {
		if service.Build == nil {
			continue
		}
		programs++
		for variable := range service.Environment {
			requireKnown(t, variable)
		}
		dockerfile := filepath.Join(service.Build.Context, service.Build.Dockerfile)
		require.FileExists(t, dockerfile, name)
		require.True(t, service.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, service.CapDrop, name)
	}
	require.Equal(t, 3, programs)
	for _, name := range []string{"worker", "web"} {
		require.Equal(t, "service_completed_successfully", project.Services[name].DependsOn["migrate"].Condition, "no worker before its tables")
	}
	require.True(t, slices.Equal([]string{"/orchestrator", "migrate", "up"}, project.Services["migrate"].Entrypoint))
}
