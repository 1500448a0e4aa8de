//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/examples/devserver/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// TestMain is the program itself when runMain is set.
func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(orchestratortest.Main(m))
}

const runMain = "DEVSERVER_RUN_MAIN"

const patience = time.Minute

// node skips a test where Node is not installed, except where
// ORCHESTRATOR_REQUIRE_NODE says that it must not be.
func node(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		require.Empty(t, os.Getenv("ORCHESTRATOR_REQUIRE_NODE"), "Node is not installed and ORCHESTRATOR_REQUIRE_NODE is set")
		t.Skip("Node is not installed")
	}
}

// fixture is a worker that knows some services.
type fixture struct {
	client *orchestrator.Client
	log    *harness.Buffer
	stop   func() // the worker; waits for its end
}

func newFixture(t *testing.T, services map[string]service) *fixture {
	t.Helper()
	log := &harness.Buffer{}
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Logger: slog.New(slog.NewTextHandler(log, nil))})
	mux := orchestrator.NewMux()
	tasks.Register(mux, &supervisor{services, patience, 10 * time.Millisecond, time.Millisecond, time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{ShutdownTimeout: time.Millisecond}).Run(ctx)
	}()
	f := &fixture{client, log, sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-ended)
	})}
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) start(t *testing.T, payload tasks.ServiceRunPayload, opts ...orchestrator.EnqueueOption) orchestrator.Handle[tasks.ServiceRunResult] {
	t.Helper()
	task, err := tasks.EnqueueServiceRun(t.Context(), f.client, payload, opts...)
	require.NoError(t, err)
	return task
}

// healthy waits until the task says that its service is healthy after so many
// restarts, and returns the port.
func healthy(t *testing.T, client *orchestrator.Client, id orchestrator.TaskID, restarts int) (port int) {
	t.Helper()
	said := regexp.MustCompile(fmt.Sprintf(`^healthy, port (\d+), restarts %d$`, restarts))
	var last string
	require.Eventually(t, func() bool {
		info, err := client.TaskInfo(t.Context(), id)
		last = info.Progress.Message
		match := said.FindStringSubmatch(last)
		if err != nil || match == nil {
			return false
		}
		port, err = strconv.Atoi(match[1])
		return err == nil
	}, patience, 5*time.Millisecond, "last: %s", &last)
	return port
}

// get asks a service, and returns "" when it does not answer.
func get(t *testing.T, port int, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	require.NoError(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// serverProcess asks the server for its id.
func serverProcess(t *testing.T, port int) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(get(t, port, "/"), "hello from process ")))
	require.NoError(t, err)
	return pid
}

// ended waits for a task's end.
func ended(t *testing.T, f *fixture, id orchestrator.TaskID, want orchestrator.State) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := f.client.TaskInfo(t.Context(), id)
		return err == nil && info.State == want
	}, patience, 5*time.Millisecond)
}

func web() map[string]service {
	return map[string]service{"web": {[]string{"node", "server.js"}, "/health"}}
}

func TestServiceIsStartedWatchedRestartedAndCancelled(t *testing.T) {
	t.Parallel()
	node(t)
	f := newFixture(t, web())
	task := f.start(t, tasks.ServiceRunPayload{Name: "web"})
	port := healthy(t, f.client, task.ID(), 0)
	first := serverProcess(t, port)

	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	port = healthy(t, f.client, task.ID(), 1)
	second := serverProcess(t, port)
	require.NotEqual(t, first, second)
	require.Equal(t, "ok\n", get(t, port, "/health"))

	// One at a time of each name.
	next := f.start(t, tasks.ServiceRunPayload{Name: "web"})
	info, err := f.client.TaskInfo(t.Context(), next.ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Blocked, info.State)
	state, err := f.client.Cancel(t.Context(), task.ID(), "enough")
	require.NoError(t, err)
	require.Equal(t, orchestrator.Running, state)
	ended(t, f, task.ID(), orchestrator.Cancelled)
	harness.AwaitGone(t, second)
	require.Empty(t, get(t, port, "/"))
	third := serverProcess(t, healthy(t, f.client, next.ID(), 0))
	_, err = f.client.Cancel(t.Context(), next.ID(), "")
	require.NoError(t, err)
	ended(t, f, next.ID(), orchestrator.Cancelled)
	harness.AwaitGone(t, third)

	log := f.log.String()
	require.Contains(t, log, fmt.Sprintf(`msg="listening on http://127.0.0.1:%d" task=%s type=service:run queue=services attempt=1`, port, task.ID()))
	require.Contains(t, log, `msg="service crashed" task=1`)
	require.Contains(t, log, `error="signal: killed" restart=1`)
	require.Contains(t, log, `because="orchestrator: task cancelled: enough"`)
}

func TestServiceStopsWithItsWorkerAndIsGivenBack(t *testing.T) {
	t.Parallel()
	node(t)
	// It ignores SIGTERM, and so does its child.
	script := filepath.Join(t.TempDir(), "unwilling.js")
	require.NoError(t, os.WriteFile(script, []byte(`
		process.on('SIGTERM', () => {});
		const child = require('node:child_process').spawn('sh', ['-c', 'trap "" TERM; echo ready; sleep 1000; sleep 1000'], {stdio: ['ignore', 'pipe', 'inherit']});
		child.stdout.once('data', () => require('node:http').createServer((request, response) => {
			response.setHeader('Connection', 'close');
			response.end(process.pid + ' ' + child.pid);
		}).listen(Number(process.env.PORT), '127.0.0.1'));
	`), 0o600))
	f := newFixture(t, map[string]service{"unwilling": {[]string{"node", script}, "/"}})
	task := f.start(t, tasks.ServiceRunPayload{Name: "unwilling"})
	port := healthy(t, f.client, task.ID(), 0)
	var parent, child int
	_, err := fmt.Sscan(get(t, port, "/"), &parent, &child)
	require.NoError(t, err)
	f.stop()
	harness.AwaitGone(t, parent)
	harness.AwaitGone(t, child)
	info, err := f.client.TaskInfo(t.Context(), task.ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Ready, info.State)
	require.Zero(t, info.Attempts)
}

func TestHungServiceIsRestarted(t *testing.T) {
	t.Parallel()
	node(t)
	script := filepath.Join(t.TempDir(), "hanging.js")
	require.NoError(t, os.WriteFile(script, []byte(`
		let sick = false;
		require('node:http').createServer((request, response) => {
			response.setHeader('Connection', 'close');
			sick ||= request.url === '/sicken';
			response.statusCode = sick ? 500 : 200;
			response.end();
		}).listen(Number(process.env.PORT), '127.0.0.1');
	`), 0o600))
	f := newFixture(t, map[string]service{"hanging": {[]string{"node", script}, "/"}})
	task := f.start(t, tasks.ServiceRunPayload{Name: "hanging"})
	get(t, healthy(t, f.client, task.ID(), 0), "/sicken")
	healthy(t, f.client, task.ID(), 1)
	require.Contains(t, f.log.String(), `error="not healthy any more: 500 Internal Server Error"`)
}

func TestServiceThatDoesNotStayUpFailsTheAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]service{
		"broken": {[]string{"sh", "-c", `echo "no such module" >&2; exit 3`}, "/"},
		"absent": {[]string{"/no/such/program"}, "/"},
		"done":   {[]string{"true"}, "/"},
	})
	_, err := f.start(t, tasks.ServiceRunPayload{Name: "broken", MaxRestarts: 2}, orchestrator.WithMaxAttempts(1)).Result(t.Context())
	require.ErrorIs(t, err, serviceCrashed)
	require.ErrorContains(t, err, "after 2 restarts: exit status 3: no such module")
	require.Equal(t, 3, strings.Count(f.log.String(), `msg="no such module"`))

	_, err = f.start(t, tasks.ServiceRunPayload{Name: "absent", MaxRestarts: 1}, orchestrator.WithMaxAttempts(1)).Result(t.Context())
	require.ErrorIs(t, err, serviceCrashed)
	require.ErrorContains(t, err, "no such file or directory")

	_, err = f.start(t, tasks.ServiceRunPayload{Name: "unheard"}).Result(t.Context())
	require.ErrorIs(t, err, tasks.ServiceRunUnknownService)
	require.ErrorContains(t, err, "after 1 attempts")

	result, err := f.start(t, tasks.ServiceRunPayload{Name: "done"}).Result(t.Context())
	require.NoError(t, err)
	require.Zero(t, result.Restarts)
	state, _ := tasks.ServiceRun.Definition.Judge(1, serviceCrashed)
	require.Equal(t, orchestrator.Retrying, state)
}

// TestProgram starts the program's worker, and kills it.
func TestProgram(t *testing.T) {
	t.Parallel()
	node(t)
	url := orchestratortest.DB(t)
	client, err := orchestrator.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	var id bytes.Buffer
	require.NoError(t, program(t.Context(), url, []string{"start", "web"}, &id))
	require.Equal(t, "1\n", id.String())
	require.ErrorContains(t, program(t.Context(), url, []string{"stop"}, &id), "usage: devserver [start NAME [PORT]]")
	require.ErrorContains(t, program(t.Context(), url, []string{"start", "web", "http"}, &id), `port "http": want a number`)

	worker := exec.CommandContext(t.Context(), os.Args[0])
	worker.Env = append(os.Environ(), runMain+"=1", "DATABASE_URL="+url, "TMPDIR="+t.TempDir())
	worker.Stderr = t.Output()
	require.NoError(t, worker.Start())
	pid := serverProcess(t, healthy(t, client, 1, 0))
	require.NoError(t, worker.Process.Kill())
	require.Error(t, worker.Wait())
	harness.AwaitGone(t, pid)
}
