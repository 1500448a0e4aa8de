package deploy_test

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buildImage runs what the Dockerfile's RUN runs, without a container, and
// returns the directory that would be the image's root.
func buildImage(t *testing.T) string {
	t.Helper()
	text := read(t, folder+"/Dockerfile")
	_, script, found := strings.Cut(text, "/root/.cache/go-build \\\n")
	require.True(t, found)
	script, _, found = strings.Cut(script, "\n\n")
	require.True(t, found)
	out := t.TempDir()
	require.NoError(t, os.Chmod(out, 0o755))
	require.Contains(t, script, "-o /out/worker")
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(script, "/out/", out+"/"))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "MODULE=examples/observed", "PACKAGE=.", "TOOL_MODULE=.")
	message, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, message)
	return out
}

func requireStatic(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, program.Close()) }()
	for _, part := range program.Progs {
		require.NotEqual(t, elf.PT_INTERP, part.Type, "%s needs a loader, and the image has none", path)
	}
	libraries, err := program.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries, path)
}

// TestImage builds the programs of the image and runs the worker with the
// settings of compose.yaml on a private PostgreSQL: it serves what the probes
// ask for, and leaves within its grace period.
func TestImage(t *testing.T) {
	t.Parallel()
	out := buildImage(t)
	for _, program := range []string{"worker", "orchestrator"} {
		requireStatic(t, filepath.Join(out, program))
	}
	if testing.Short() {
		t.Skip("short: not run")
	}

	service := compose(t, "compose.yaml").Services["worker"]
	// The command line brings the database and its tables.
	cmd := exec.CommandContext(t.Context(), filepath.Join(out, "orchestrator"),
		append([]string{"dev", "--ephemeral", "--", filepath.Join(out, "worker")}, service.Command...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Dir = out
	cmd.Env = os.Environ()
	for name, value := range service.Environment {
		switch name {
		case "DATABASE_URL":
		case "HTTP_ADDR":
			cmd.Env = append(cmd.Env, "HTTP_ADDR=127.0.0.1:0")
		case "OTEL_EXPORTER_OTLP_ENDPOINT":
			cmd.Env = append(cmd.Env, name+"=http://127.0.0.1:9") // nobody collects
		default:
			cmd.Env = append(cmd.Env, name+"="+*value)
		}
	}
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = writer.Close()
		ended <- err
	}()
	// The log is JSON, as compose.yaml wants it.
	address := make(chan string, 1)
	var log strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving HTTP" {
				address <- line.Addr
			}
		}
	}()
	var addr string
	select {
	case addr = <-address:
	case <-read:
		require.FailNow(t, "the worker ended", log.String())
	case <-time.After(5 * time.Minute):
		require.FailNow(t, "the worker does not serve HTTP")
	}

	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	status := func(path string) (int, string) {
		response, err := client.Get("http://" + addr + path)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	for _, path := range []string{"/health", "/ready", "/metrics"} {
		code, body := status(path)
		require.Equal(t, http.StatusOK, code, "%s: %s", path, body)
		if path == "/metrics" {
			require.Contains(t, body, "orchestrator_worker_slots")
		}
	}

	stopped := time.Now()
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	<-read
	require.NoError(t, <-ended, log.String())
	require.Less(t, time.Since(stopped), time.Duration(*service.StopGracePeriod))
	require.Contains(t, log.String(), "worker stopped")
}
