package monitoring_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// server is a Prometheus of the test's own, on loopback.
type server struct {
	url    string
	client *http.Client
}

// startPrometheus runs one that scrapes a target and evaluates rules every
// second, until the test ends.
func startPrometheus(t *testing.T, target string, rules []byte) *server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		require.Empty(t, os.Getenv("ORCHESTRATOR_REQUIRE_PROMETHEUS"), "Prometheus is not installed and ORCHESTRATOR_REQUIRE_PROMETHEUS is set")
		t.Skip("Prometheus is not installed: apt-get install prometheus")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("rules.yml", string(rules))
	write("prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: worker, static_configs: [{targets: [%q]}]}]
`, target))
	cmd := exec.CommandContext(t.Context(), program,
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = endWithParent()
	stderr, output := io.Pipe()
	cmd.Stderr = output

	// What ends a child with its parent is bound to the thread that made it.
	ended := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was told to end
		}
		_ = output.Close()
	}()
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if match := listening.FindStringSubmatch(lines.Text()); match != nil {
				select {
				case address <- match[1]:
				default:
				}
			}
		}
	}()
	s := &server{client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() { // t.Context has ended by now, and with it the program
		<-ended
		<-read
		s.client.CloseIdleConnections()
	})
	require.NoError(t, <-started)
	s.url = "http://" + harness.Receive(t, "Prometheus to listen", address)
	harness.Await(t, "Prometheus to be ready", func() bool {
		status, _ := s.get(t, "/-/ready")
		return status == http.StatusOK
	})
	return s
}

var listening = regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)

func (s *server) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	response, err := s.client.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}

// sample is one series of an answer.
type sample struct {
	Metric map[string]string
	Value  float64
}

// query runs an instant query. Values that are not numbers, such as the
// quantile of nothing, are left out.
func (s *server) query(t *testing.T, expr string) []sample {
	t.Helper()
	status, body := s.get(t, "/api/v1/query?query="+url.QueryEscape(expr))
	require.Equal(t, http.StatusOK, status, "%s\n%s", expr, body)
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s\n%s", expr, body)
	var samples []sample
	for _, one := range answer.Data.Result {
		value, err := strconv.ParseFloat(one.Value[1].(string), 64)
		require.NoError(t, err)
		if !math.IsNaN(value) {
			samples = append(samples, sample{one.Metric, value})
		}
	}
	return samples
}
