package integration_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) {
	harness.Main(m, map[string]harness.Program{
		"worker":    workerProgram,
		"crasher":   crasherProgram,
		"sleeper":   sleeperProgram,
		"enqueuer":  enqueuerProgram,
		"scheduler": schedulerProgram,
		"grouper":   harness.JournalProgram(harness.Grouped, harness.GroupedLimited),
		"limiter":   harness.JournalProgram(harness.LimitedType, harness.LimitedByKey),
	})
}

// open is how the programs begin: a client and a worker's settings, all from
// the environment.
func open(ctx context.Context) (*orchestrator.Client, orchestrator.WorkerConfig, error) {
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return nil, config, err
	}
	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"))
	return client, config, err
}

// work runs a worker until SIGTERM.
func work(ctx context.Context, handler orchestrator.HandlerFunc, definitions ...*orchestrator.Definition) error {
	client, config, err := open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	harness.Say("ready")
	return orchestrator.NewWorker(client, harness.Mux(handler, definitions...), config).Run(ctx)
}

// workerProgram works Echo, Count and Limited; HANDLER_TIME is how long each takes.
func workerProgram(ctx context.Context) error {
	long, err := time.ParseDuration(os.Getenv("HANDLER_TIME"))
	if err != nil {
		return err
	}
	return work(ctx, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(long):
			return task.Payload, nil
		}
	}, harness.Echo, harness.Count, harness.Limited)
}

// hasty are the settings of a process whose lease is to be lost soon.
func hasty(databaseURL string, more ...string) []string {
	return append([]string{
		"DATABASE_URL=" + databaseURL, "HANDLER_TIME=1ms",
		"HEARTBEAT_INTERVAL=100ms", "WORKER_TIMEOUT=1s", "LEADER_TERM=1s", "CLAIM_INTERVAL=50ms",
	}, more...)
}

// registered is true when a worker has started: before, it may fail to.
const registered = `SELECT EXISTS (SELECT FROM workers)`

// duplicate is what the enqueuer says of one enqueue: the task and whether it
// was there before.
type duplicate struct {
	id       int64
	existing bool
}

func (d duplicate) String() string { return fmt.Sprintf("%d %t", d.id, d.existing) }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
