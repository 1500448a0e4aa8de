package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	folder = root + "/deploy"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(path))
	require.NoError(t, err)
	return string(content)
}

// settings are the environment variables that the engine reads.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{"DATABASE_URL": true} // by the programs themselves, for orchestrator.Open
	for _, match := range regexp.MustCompile("`env:\"([A-Z_]+)\"`").FindAllStringSubmatch(read(t, root+"/orchestrator/config.go"), -1) {
		known[match[1]] = true
	}
	require.Contains(t, known, "SHUTDOWN_TIMEOUT")
	require.Contains(t, known, "HTTP_ADDR")
	return known
}

// requireKnown fails for a variable that nobody reads.
func requireKnown(t *testing.T, name string) {
	t.Helper()
	if strings.HasPrefix(name, "OTEL_") || name == "APP_ADDR" { // OpenTelemetry's, and the example's web server
		return
	}
	require.Contains(t, settings(t), name, "an environment variable that the engine does not read")
}

// leaving is what a worker may take after SHUTDOWN_TIMEOUT, as
// docs/operations.md says: it cancels what still runs, gives it back, and
// deregisters, on a database that may be slow.
const leaving = 25 * time.Second

func requireGrace(t *testing.T, shutdownTimeout string, grace time.Duration) {
	t.Helper()
	timeout, err := time.ParseDuration(shutdownTimeout)
	require.NoError(t, err)
	require.Equal(t, timeout+leaving, grace, "the grace period is SHUTDOWN_TIMEOUT and %s", leaving)
}

const (
	// port is where a worker serves what watches it.
	port = "9464"
	// everywhere is needed in a container; a port alone would be its loopback.
	everywhere = "0.0.0.0:" + port
)

func TestDefaultsAreThoseOfTheEngine(t *testing.T) {
	t.Parallel()
	require.Contains(t, read(t, root+"/orchestrator/config.go"), `{"SHUTDOWN_TIMEOUT", &c.ShutdownTimeout, 30 * time.Second}`,
		"deploy/ sets the default; change both")
	require.Contains(t, read(t, root+"/docs/operations.md"), "`SHUTDOWN_TIMEOUT` plus 25 s before SIGKILL")
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, folder+"/Dockerfile")
	require.Contains(t, text, "\nUSER 65532:65532\n", "a number, so that runAsNonRoot can be checked")
	require.Contains(t, text, "\nENV HTTP_ADDR="+everywhere+" LOG_FORMAT=json\n")
	require.Contains(t, text, "\nEXPOSE "+port+"\n")
	require.Contains(t, text, "\nSTOPSIGNAL SIGTERM\n")
	require.Contains(t, text, "\nENV CGO_ENABLED=0\n")
	for _, match := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		requireImage(t, match[1])
	}
	directive := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, root+"/go.mod"))
	require.Contains(t, text, "\nARG GO_VERSION="+directive[1]+"\n", "the Go version of go.mod")
}

// requireImage wants images from wherever the engine of the machine finds them.
func requireImage(t *testing.T, image string) {
	t.Helper()
	first, _, more := strings.Cut(image, "/")
	require.False(t, more && strings.ContainsAny(first, ".:"), "%s names a registry's host", image)
	if image != "scratch" {
		_, tag, _ := strings.Cut(image, ":")
		require.NotEmpty(t, tag, "%s has no version", image)
		require.NotEqual(t, "latest", tag, image)
	}
}
