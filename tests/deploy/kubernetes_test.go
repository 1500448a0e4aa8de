package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// manifest reads one strictly: unknown and repeated fields are errors.
func manifest[T any](t *testing.T, name string) T {
	t.Helper()
	var object T
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, folder+"/kubernetes/"+name)), &object), name)
	return object
}

const name = "orchestrator-worker"

func TestEveryManifestIsRead(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.FromSlash(folder + "/kubernetes"))
	require.NoError(t, err)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	require.Equal(t, []string{
		"deployment.yaml", "kustomization.yaml", "migration-job.yaml", "poddisruptionbudget.yaml", "service.yaml", "servicemonitor.yaml",
	}, names, "a manifest that no test here reads")
	kustomization := manifest[struct {
		meta.TypeMeta `json:",inline"`
		Resources     []string `json:"resources"`
		Images        []struct {
			Name   string `json:"name"`
			NewTag string `json:"newTag"`
		} `json:"images"`
	}](t, "kustomization.yaml")
	require.Equal(t, []string{"deployment.yaml", "poddisruptionbudget.yaml", "service.yaml", "servicemonitor.yaml"}, kustomization.Resources)
	require.Equal(t, name, kustomization.Images[0].Name)
}

func TestDeployment(t *testing.T) {
	t.Parallel()
	d := manifest[apps.Deployment](t, "deployment.yaml")
	require.Equal(t, meta.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"}, d.TypeMeta)
	require.True(t, selects(t, d.Spec.Selector, d.Spec.Template.Labels))
	pod := d.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	worker := pod.Containers[0]
	requirePod(t, pod)

	requireGrace(t, variable(worker, "SHUTDOWN_TIMEOUT"), time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second)
	require.Equal(t, everywhere, variable(worker, "HTTP_ADDR"))
	require.Equal(t, []core.ContainerPort{{Name: "http", ContainerPort: 9464}}, worker.Ports)

	for probe, path := range map[*core.Probe]string{worker.StartupProbe: "/health", worker.LivenessProbe: "/health", worker.ReadinessProbe: "/ready"} {
		require.NotNil(t, probe)
		require.Equal(t, path, probe.HTTPGet.Path)
		require.Equal(t, "http", probe.HTTPGet.Port.String())
		require.GreaterOrEqual(t, probe.TimeoutSeconds, int32(2), "/ready itself waits for the database for 0.9s")
	}
	served := read(t, root+"/orchestrator/http.go")
	for _, path := range []string{"/health", "/ready", "/metrics"} {
		require.Contains(t, served, `"GET `+path+`"`)
	}
}

func TestWhatSelectsTheWorkers(t *testing.T) {
	t.Parallel()
	pods := manifest[apps.Deployment](t, "deployment.yaml").Spec.Template.Labels

	budget := manifest[policy.PodDisruptionBudget](t, "poddisruptionbudget.yaml")
	require.Equal(t, meta.TypeMeta{Kind: "PodDisruptionBudget", APIVersion: "policy/v1"}, budget.TypeMeta)
	require.True(t, selects(t, budget.Spec.Selector, pods))
	require.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())

	service := manifest[core.Service](t, "service.yaml")
	require.Equal(t, meta.TypeMeta{Kind: "Service", APIVersion: "v1"}, service.TypeMeta)
	require.True(t, labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pods)))
	require.Equal(t, "http", service.Spec.Ports[0].TargetPort.String())

	monitor := manifest[monitoring.ServiceMonitor](t, "servicemonitor.yaml")
	require.Equal(t, meta.TypeMeta{Kind: "ServiceMonitor", APIVersion: "monitoring.coreos.com/v1"}, monitor.TypeMeta)
	require.True(t, selects(t, &monitor.Spec.Selector, service.Labels))
	require.Equal(t, service.Spec.Ports[0].Name, monitor.Spec.Endpoints[0].Port)
	require.Equal(t, "/metrics", monitor.Spec.Endpoints[0].Path)
}

func TestMigrationJob(t *testing.T) {
	t.Parallel()
	job := manifest[batch.Job](t, "migration-job.yaml")
	require.Equal(t, meta.TypeMeta{Kind: "Job", APIVersion: "batch/v1"}, job.TypeMeta)
	pod := job.Spec.Template.Spec
	requirePod(t, pod)
	require.Equal(t, core.RestartPolicyNever, pod.RestartPolicy)
	require.Equal(t, []string{"/orchestrator", "migrate", "up"}, pod.Containers[0].Command)
	require.Equal(t, name+":dev", pod.Containers[0].Image, "the tag of the kustomization")
	// Were they selected by the budget and the service, jobs would count as workers.
	deployment := manifest[apps.Deployment](t, "deployment.yaml")
	require.False(t, selects(t, deployment.Spec.Selector, job.Spec.Template.Labels))
}

func requirePod(t *testing.T, pod core.PodSpec) {
	t.Helper()
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, int64(65532), *pod.SecurityContext.RunAsUser, "the Dockerfile's USER")
	require.False(t, *pod.AutomountServiceAccountToken)
	container := pod.Containers[0]
	require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	require.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	require.False(t, container.Resources.Limits.Memory().IsZero())
	for _, one := range container.Env {
		requireKnown(t, one.Name)
		require.Empty(t, validation.IsEnvVarName(one.Name))
		if one.Name == "DATABASE_URL" {
			require.NotNil(t, one.ValueFrom.SecretKeyRef, "a password is not for a manifest")
		}
	}
	require.True(t, strings.HasPrefix(container.Image, name))
}

func variable(c core.Container, name string) string {
	for _, one := range c.Env {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

func selects(t *testing.T, selector *meta.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	return s.Matches(labels.Set(set))
}
