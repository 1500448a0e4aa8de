package faults_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) {
	harness.Main(m, map[string]harness.Program{
		"worker":  workerProgram,
		"grouper": harness.JournalProgram(harness.Grouped, harness.GroupedLimited),
		"limiter": limiterProgram,
	})
}

// long skips a test that is not for every run.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("ORCHESTRATOR_TEST_FAULTS") == "" {
		t.Skip("set ORCHESTRATOR_TEST_FAULTS=1, or run make test-faults")
	}
	t.Parallel()
}

func workerProgram(ctx context.Context) error {
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return err
	}
	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	harness.Say("ready")
	return orchestrator.NewWorker(client, harness.Mux(harness.Returning, harness.Echo), config).Run(ctx)
}

func startProcess(t *testing.T, url string) *harness.Process {
	t.Helper()
	p := harness.Start(t, "worker", "DATABASE_URL="+url,
		"HEARTBEAT_INTERVAL=100ms", "WORKER_TIMEOUT=1s", "LEADER_TERM=1s", "CLAIM_INTERVAL=50ms")
	p.Expect(t, "ready")
	return p
}

// 100,000 tasks are due at the same instant, with two workers waiting for them.
func TestHundredThousandDueAtTheSameInstant(t *testing.T) {
	long(t)
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	at := harness.Value[time.Time](t, db, `SELECT now() + interval '20 seconds'`)
	var ids []orchestrator.TaskID
	for range 20 {
		ids = append(ids, harness.Enqueue(t, client, harness.Echo, 5000, orchestrator.WithRunAt(at))...)
	}
	first := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	second := harness.StartWorker(t, harness.Open(t, url), harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	db.AwaitDrained(t)
	first()
	second()
	db.RequireEachDoneOnce(t, ids)
	require.Zero(t, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE claimed_at < scheduled_for`), "claimed too early")
}

// Three processes, of which one after another is killed, or frozen for longer
// than its lease and woken, while the database loses its connections and
// crashes, for a minute.
func TestEverythingAtOnce(t *testing.T) {
	long(t)
	server, url := harness.Server(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	start := func() *harness.Process { // one whose connections are cut before it works may give up
		p := startProcess(t, url)
		db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM workers WHERE pid = $1)`, p.PID())
		return p
	}
	processes := []*harness.Process{start(), start(), start()}
	load := harness.StartLoad(t, client, 8)
	end := time.Now().Add(time.Minute)
	for round := 0; time.Now().Before(end); round++ {
		load.AwaitMore(t, 200)
		victim := rand.IntN(len(processes))
		switch round % 4 {
		case 0:
			processes[victim].Kill(t)
			processes[victim] = start()
		case 1:
			pid := processes[victim].PID()
			processes[victim].Freeze(t)
			db.AwaitTrue(t, `SELECT NOT EXISTS (SELECT FROM workers WHERE pid = $1)`, pid)
			processes[victim].Thaw(t)
		case 2:
			require.NoError(t, db.CutEverything(t.Context()))
		case 3:
			require.NoError(t, server.Restart(t.Context(), devpg.Immediate))
		}
	}
	acknowledged, failed := load.Stop()
	t.Logf("%d acknowledged, %d failed", len(acknowledged), failed)
	db.AwaitDrained(t)
	for _, p := range processes {
		p.Terminate(t)
	}
	db.RequireAtLeastDoneOnce(t, acknowledged)
}

// The connections there are go dead without a word: nothing arrives, nothing is
// refused. New ones work. The worker keeps its lease, or loses it and takes
// another; in either case it works on.
func TestHalfOpenConnectionsAreGivenUp(t *testing.T) {
	long(t)
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	proxy, proxied := harness.NewProxy(t, url)
	client, worker := harness.Open(t, url), harness.Open(t, harness.WithParameter(t, proxied, "pool_max_conns", "4"))
	began, release := make(chan struct{}, 1000), make(chan struct{})
	stop := harness.StartWorker(t, worker, harness.Mux(func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		select {
		case <-release:
			return task.Payload, nil
		default:
		}
		began <- struct{}{}
		<-release
		return nil, errors.New("not yet")
	}, harness.Echo), harness.Brisk())
	ids := harness.Enqueue(t, client, harness.Echo, 20)
	for range ids {
		harness.Receive(t, "a task to begin", began)
	}
	proxy.Freeze()
	close(release)
	db.AwaitDrained(t)
	proxy.Cut() // lets the dead connections' ends be closed
	stop()
	db.RequireEachDoneOnce(t, ids)
}
