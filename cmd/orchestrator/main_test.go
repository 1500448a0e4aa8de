package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

// outcome is what a command line did.
type outcome struct {
	stdout, stderr string
	status         int
}

// terminal is what a command line runs in.
type terminal struct {
	environ []string
	stdin   string
	answers bool // somebody is there to answer
}

func (tt terminal) run(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := &cli{stdin: strings.NewReader(tt.stdin), stdout: &stdout, stderr: &stderr, environ: tt.environ, interactive: tt.answers}
	status := c.run(t.Context(), args)
	return outcome{stdout.String(), stderr.String(), status}
}

// good runs a command line that must succeed without a word of complaint, and
// returns its output.
func (tt terminal) good(t *testing.T, args ...string) string {
	t.Helper()
	got := tt.run(t, args...)
	require.Zero(t, got.status, got.stderr)
	require.Empty(t, got.stderr)
	return got.stdout
}

// ages are what differs from run to run.
var (
	ages    = regexp.MustCompile(`\b\d+[smhd] ago`)
	moments = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?`)
	blanks  = regexp.MustCompile(`  +`)
)

// stable replaces ages and moments, and the widths that depend on them.
func stable(text string) string {
	text = moments.ReplaceAllString(ages.ReplaceAllString(text, "AGE ago"), "MOMENT")
	return blanks.ReplaceAllString(text, "  ")
}

// mail is a task type with everything the commands show.
var mail = &orchestrator.Definition{
	Name: "mail:send", Queue: &orchestrator.Queue{Name: "mail"}, Priority: 3, Fingerprint: "v1:mail",
	Retry:       orchestrator.RetryPolicy{MaxAttempts: 2, BaseDelay: time.Millisecond},
	Idempotency: &orchestrator.Idempotency{Key: []string{"to"}, Window: time.Hour, OnDuplicate: orchestrator.Existing},
	PayloadSchema: `{"type": "object", "required": ["to"], "properties": {
		"to": {"type": "string", "format": "email"}, "subject": {"type": "string"}, "token": {"type": "string", "x-sensitive": true}}}`,
	ResultSchema: `{"type": "object"}`,
}

// handleMail sends what is not to nobody@ or to panic@.
func handleMail(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
	var p struct{ To string }
	if err := json.Unmarshal(task.Payload, &p); err != nil {
		return nil, err
	}
	switch p.To {
	case "nobody@example.com":
		return nil, orchestrator.Permanent(fmt.Errorf("%w: no such\nmailbox \x1b[31m", orchestrator.Code("refused")))
	case "down@example.com":
		return nil, errors.New("connection refused")
	case "panic@example.com":
		panic("boom")
	}
	return []byte(`{"sent":true}`), nil
}

// database is a fresh database in which the type mail is known, a client of
// it, and a terminal whose DATABASE_URL names it.
func database(t *testing.T) (*orchestrator.Client, terminal) {
	t.Helper()
	url := orchestratortest.DB(t)
	client, err := orchestrator.Open(t.Context(), url, orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	learn(t, client)
	return client, terminal{environ: []string{"DATABASE_URL=" + url}}
}

// learn runs a worker until it works: then it has stored the contract.
func learn(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- orchestrator.NewWorker(client, handlers(), orchestrator.WorkerConfig{}).Run(ctx) }()
	require.Eventually(t, func() bool {
		var n int
		err := client.DB().NewRaw("SELECT count(*) FROM orchestrator.workers").Scan(ctx, &n)
		return err == nil && n == 1
	}, 10*time.Second, time.Millisecond)
	stop()
	require.NoError(t, <-ended)
}

func handlers() *orchestrator.Mux {
	mux := orchestrator.NewMux()
	mux.Handle(mail, orchestrator.HandlerFunc(handleMail))
	return mux
}

// work works everything there is.
func work(t *testing.T, client *orchestrator.Client) {
	t.Helper()
	orchestratortest.Drain(t, client, handlers())
}

func send(t *testing.T, client *orchestrator.Client, to string, opts ...orchestrator.EnqueueOption) orchestrator.TaskID {
	t.Helper()
	ref, err := client.EnqueueRaw(t.Context(), "mail:send", []byte(`{"to": "`+to+`", "token": "hunter2"}`), opts...)
	require.NoError(t, err)
	return ref.ID()
}

// keys are the names of an object's fields, sorted.
func keys(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
