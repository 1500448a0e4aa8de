package observability_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/observability/lab"
)

// built is where the shop's program is, once a test has asked for it.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(cleanup{orchestratortest.Main(m)})
}

type cleanup struct{ tests interface{ Run() int } }

func (c cleanup) Run() int {
	defer func() { _ = os.RemoveAll(built.dir) }()
	return c.tests.Run()
}

func shopProgram(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "observed"); built.err == nil {
			built.path, built.err = lab.BuildShop(context.WithoutCancel(t.Context()), built.dir)
		}
	})
	require.NoError(t, built.err)
	return built.path
}

// openShop starts both processes on a database of their own.
func openShop(t *testing.T, env ...string) (shop *lab.Shop, databaseURL string) {
	t.Helper()
	url := orchestratortest.DB(t)
	shop, err := lab.OpenShop(t.Context(), shopProgram(t), append([]string{
		"DATABASE_URL=" + url, "OTEL_BSP_SCHEDULE_DELAY=100", "HEARTBEAT_INTERVAL=200ms", "LEADER_TERM=2s",
	}, env...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shop.Close()) })
	return shop, url
}

// required tells whether a program that is missing fails the test.
func required(name string) bool { return os.Getenv("ORCHESTRATOR_REQUIRE_"+name) != "" }

func openJaeger(t *testing.T) *lab.Jaeger {
	t.Helper()
	find := lab.FindJaeger
	if required("JAEGER") {
		find = func(ctx context.Context) (string, error) { return lab.BuildJaeger(ctx, t.Output()) }
	}
	path, err := find(t.Context())
	if errors.Is(err, lab.ErrNoJaeger) {
		t.Skip(err)
	}
	require.NoError(t, err)
	jaeger, err := lab.StartJaeger(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, jaeger.Stop()) })
	return jaeger
}

func findPrometheus(t *testing.T) (prometheus, promtool string) {
	t.Helper()
	prometheus, promtool, err := lab.FindPrometheus()
	if err != nil && !required("PROMETHEUS") {
		t.Skip(err)
	}
	require.NoError(t, err)
	return prometheus, promtool
}

func openPrometheus(t *testing.T, target string, flags ...string) *lab.Prometheus {
	t.Helper()
	path, _ := findPrometheus(t)
	prometheus, err := lab.StartPrometheus(t.Context(), path, t.TempDir(), target, flags...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, prometheus.Stop()) })
	return prometheus
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := lab.Root(t.Context())
	require.NoError(t, err)
	return filepath.Clean(dir)
}
