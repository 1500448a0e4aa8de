package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/webhook"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// telling lets a worker tell the receivers of these tests.
var telling = orchestrator.WorkerConfig{
	CleanupInterval: time.Millisecond, HeartbeatInterval: 20 * time.Millisecond, WorkerTimeout: 10 * time.Second, ClaimInterval: 20 * time.Millisecond,
	WebhookSecret: webhookSecret, WebhookAllowPrivate: "127.0.0.0/8",
}

// receiver is a program that is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	events []webhook.Event
}

// newReceiver verifies what comes and answers as answer says; nil is 204.
func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	secrets, err := webhook.ParseSecrets(webhookSecret)
	require.NoError(t, err)
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		event, err := webhook.Read(request, secrets)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		r.events = append(r.events, event)
		n := len(r.events)
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(n, w, request)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) told() []webhook.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]webhook.Event(nil), r.events...)
}

// deliveries are the tasks that tell webhooks, of one place.
func deliveries(t *testing.T, client *orchestrator.Client, place string) int {
	t.Helper()
	return count(t, client, `SELECT count(*) FROM orchestrator.all_tasks WHERE task_type = 'orchestrator:webhook' AND place = '`+place+`'`)
}

func told(name, url string, states ...orchestrator.State) *orchestrator.Definition {
	return variant(name, func(d *orchestrator.Definition) {
		d.OnFinish = &orchestrator.OnFinish{Webhook: url, States: states}
		d.ResultSchema = `{"type": "object", "properties": {"n": {"type": "integer"}, "token": {"type": "string", "x-sensitive": true}}}`
	})
}

// Every way in which a task ends tells the webhook once, plain tasks and those
// with turns and slots.
func TestWebhookIsToldOfEveryEnd(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*orchestrator.Definition){
		"plain":   func(*orchestrator.Definition) {},
		"limited": func(d *orchestrator.Definition) { d.Concurrency = &orchestrator.Concurrency{Total: 5} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := quietClient(t)
			r := newReceiver(t, nil)
			d := told("test:told", r.URL+"/in?a=b")
			change(d)
			mux := handle(d, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
				switch task.Metadata["end"] {
				case "dead":
					return nil, orchestrator.Permanent(orchestrator.Code("no_such_account"))
				case "cancelled":
					return nil, orchestrator.Cancel(errors.New("not needed"))
				case "in a transaction":
					return nil, client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return task.Complete(ctx, tx, []byte(`{"n": 2}`)) })
				}
				return []byte(`{"n": 1, "token": "hunter2"}`), nil
			})
			want := map[orchestrator.TaskID]webhook.Event{}
			add := func(event webhook.Event, opts ...orchestrator.EnqueueOption) orchestrator.TaskID {
				id := enqueue(t, client, d, `{}`, opts...).ID()
				event.ID, event.Type, event.Queue = int64(id), d.Name, "default"
				want[id] = event
				return id
			}
			end := func(how string) orchestrator.EnqueueOption {
				return orchestrator.WithMetadata(map[string]string{"end": how})
			}
			add(webhook.Event{State: "succeeded", Attempts: 1, Result: json.RawMessage(`{"n":1,"token":"[redacted]"}`)})
			add(webhook.Event{State: "succeeded", Attempts: 1, Result: json.RawMessage(`{"n":2}`)}, end("in a transaction"))
			add(webhook.Event{State: "dead", Attempts: 1, Code: "no_such_account", Message: "no_such_account"}, end("dead"))
			add(webhook.Event{State: "cancelled", Attempts: 1, Message: "not needed"}, end("cancelled"))
			add(webhook.Event{State: "expired"}, orchestrator.WithTTL(time.Microsecond))
			waiting := add(webhook.Event{State: "cancelled", Code: "cancelled", Message: "too late"}, orchestrator.WithDelay(time.Hour))
			_, err := client.Cancel(t.Context(), waiting, "too late")
			require.NoError(t, err)
			unclaimed := add(webhook.Event{State: "expired"}, orchestrator.WithDelay(time.Hour))
			_, err = client.DB().NewRaw(`UPDATE orchestrator.tasks SET expires_at = now() WHERE id = ?`, int64(unclaimed)).Exec(t.Context())
			require.NoError(t, err)
			overdue := add(webhook.Event{State: "dead", Code: "deadline", Message: "its deadline passed before it was its turn"},
				orchestrator.WithDelay(time.Hour))
			_, err = client.DB().NewRaw(`UPDATE orchestrator.tasks SET deadline_at = now() WHERE id = ?`, int64(overdue)).Exec(t.Context())
			require.NoError(t, err)
			lost := add(webhook.Event{State: "dead", Attempts: 1, Code: "crashed", Message: "the worker process died while it ran this task"},
				orchestrator.WithMaxAttempts(1))
			_, err = client.DB().NewRaw(`UPDATE orchestrator.tasks SET state = 1, waits_for = 0, worker_id = 7, claim = 1, started_at = now() WHERE id = ?`, int64(lost)).Exec(t.Context())
			require.NoError(t, err)

			startWorker(t, client, mux, telling)
			comesTrue(t, func() bool {
				return count(t, client, `SELECT count(*) FROM orchestrator.tasks`) == 0 && deliveries(t, client, "finished") == len(want)
			}, "all is told")
			got := map[orchestrator.TaskID]webhook.Event{}
			for _, event := range r.told() {
				require.NotEmpty(t, event.DeliveryID)
				require.WithinDuration(t, time.Now(), event.EnqueuedAt, time.Minute)
				require.WithinDuration(t, time.Now(), event.FinishedAt, time.Minute)
				event.DeliveryID, event.EnqueuedAt, event.FinishedAt = "", time.Time{}, time.Time{}
				require.NotContains(t, got, orchestrator.TaskID(event.ID), "told twice")
				if event.Result != nil {
					require.JSONEq(t, string(want[orchestrator.TaskID(event.ID)].Result), string(event.Result))
					event.Result = want[orchestrator.TaskID(event.ID)].Result
				}
				got[orchestrator.TaskID(event.ID)] = event
			}
			require.Equal(t, want, got)
		})
	}
}

func TestWebhookIsToldOfChosenStatesAlone(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	r := newReceiver(t, nil)
	d := told("test:told", r.URL, orchestrator.Dead)
	startWorker(t, client, handle(d, fate), telling)
	for range 10 {
		_, err := result(t, enqueue(t, client, d, `{}`))
		require.NoError(t, err)
	}
	// What ends without its worker is asked of the contract.
	_, err := client.Cancel(t.Context(), enqueue(t, client, d, `{}`, orchestrator.WithDelay(time.Hour)).ID(), "")
	require.NoError(t, err)
	dead := enqueue(t, client, d, `{"end": "dead"}`).ID()
	comesTrue(t, func() bool { return deliveries(t, client, "finished") == 1 }, "the dead one is told")
	require.Len(t, r.told(), 1)
	require.Equal(t, int64(dead), r.told()[0].ID)
	require.Zero(t, deliveries(t, client, "live"))
}

// The delivery is there exactly if the end is.
func TestDeliveryIsCommittedWithTheEnd(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	r := newReceiver(t, nil)
	d := told("test:told", r.URL)
	config := telling
	config.Queues = []string{"default"} // nobody delivers
	rolledBack, committed := make(chan struct{}), make(chan struct{})
	startWorker(t, client, handle(d, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt == 1 {
			err := client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return errors.Join(task.Complete(ctx, tx, nil), errors.New("rolled back"))
			})
			close(rolledBack)
			<-committed
			return nil, err
		}
		return nil, client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return task.Complete(ctx, tx, nil) })
	}), config)
	ref := enqueue(t, client, d, `{}`)
	<-rolledBack
	require.Zero(t, deliveries(t, client, "live"))
	close(committed)
	_, err := result(t, ref)
	require.NoError(t, err)
	require.Equal(t, 1, deliveries(t, client, "live"))
	require.Empty(t, r.told())
}

func TestFailedDeliveryIsRepeated(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter, request *http.Request) {
		switch n {
		case 1: // from now on it is not delayed by the policy's five seconds
			w.Header().Set("Retry-After", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			http.Redirect(w, request, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	d := told("test:told", r.URL)
	startWorker(t, client, handle(d, fate), telling)
	enqueue(t, client, d, `{}`)
	hurry := func() {
		_, err := client.DB().ExecContext(t.Context(), `UPDATE orchestrator.tasks SET run_at = now() WHERE state = 0 AND attempts > 0`)
		require.NoError(t, err)
	}
	comesTrue(t, func() bool { hurry(); return deliveries(t, client, "finished") == 1 }, "is told in the end")
	events := r.told()
	require.Len(t, events, 3, "the redirect was not followed")
	require.Equal(t, events[0], events[1])
	require.Equal(t, events[0], events[2])
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, strings.Repeat("slower\x00 ", 1<<20)) // the worker may hang up
	})
	d := told("test:told", r.URL)
	startWorker(t, client, handle(d, fate), telling)
	enqueue(t, client, d, `{}`)
	comesTrue(t, func() bool {
		return count(t, client, `
			SELECT count(*) FROM orchestrator.tasks WHERE attempts = 1 AND run_at BETWEEN now() + interval '119 minutes' AND now() + interval '121 minutes'`) == 1
	}, "it waits two hours")
	for info, err := range client.Tasks(t.Context(), orchestrator.TaskFilter{States: []orchestrator.State{orchestrator.Retrying}}) {
		require.NoError(t, err)
		require.Contains(t, info.LastError().Message, "429 Too Many Requests: slower\uFFFD slower")
		require.Less(t, len(info.LastError().Message), 4<<10)
	}
}

func TestDeliveriesThatCannotSucceedDieAtOnce(t *testing.T) {
	t.Parallel()
	gone := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	private := newReceiver(t, nil)
	for name, c := range map[string]struct {
		url, allow string
		code       orchestrator.Code
		told       *receiver
		times      int
	}{
		"gone":        {gone.URL, "true", orchestrator.CodeWebhookGone, gone, 1},
		"private":     {private.URL, "", orchestrator.CodeWebhookRefused, private, 0},
		"not allowed": {strings.Replace(private.URL, "127.0.0.1", "localhost", 1), "10.0.0.0/8", orchestrator.CodeWebhookRefused, private, 0},
		"metadata":    {"https://169.254.169.254/latest", "", orchestrator.CodeWebhookRefused, private, 0},
	} {
		client := quietClient(t)
		d := told("test:told", c.url)
		config := telling
		config.WebhookAllowPrivate = c.allow
		startWorker(t, client, handle(d, fate), config)
		enqueue(t, client, d, `{}`)
		comesTrue(t, func() bool { return deliveries(t, client, "dead") == 1 }, name)
		for info, err := range client.DeadTasks(t.Context(), orchestrator.DeadFilter{}) {
			require.NoError(t, err)
			require.Equal(t, c.code, info.LastError().Code, "%s: %s", name, info.LastError().Message)
		}
		require.Len(t, c.told.told(), c.times, name)
	}
}

// A result that is too large, or that history does not have any more, is left out.
func TestWebhookWithoutTheResult(t *testing.T) {
	t.Parallel()
	client := quietClient(t)
	r := newReceiver(t, nil)
	large := told("test:large", r.URL)
	config := telling
	config.WebhookOff = true
	mux := handle(large, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Metadata["large"] == "" {
			return []byte(`{"n": 1}`), nil
		}
		return []byte(`{"n": 1, "more": "` + strings.Repeat("x", 300<<10) + `"}`), nil
	})
	stop := startWorker(t, client, mux, config)
	first := enqueue(t, client, large, `{}`, orchestrator.WithMetadata(map[string]string{"large": "1"}))
	second := enqueue(t, client, large, `{}`)
	for _, ref := range []orchestrator.TaskRef{first, second} {
		_, err := result(t, ref)
		require.NoError(t, err)
	}
	stop()
	require.Equal(t, 2, deliveries(t, client, "live"), "WebhookOff leaves them to others")
	_, err := client.DB().NewRaw(`DELETE FROM orchestrator.tasks_finished WHERE id = ?`, int64(second.ID())).Exec(t.Context())
	require.NoError(t, err)
	startWorker(t, client, mux, telling)
	comesTrue(t, func() bool { return deliveries(t, client, "finished") == 2 }, "both are told")
	for _, event := range r.told() {
		require.Equal(t, "succeeded", event.State)
		require.Nil(t, event.Result)
		require.True(t, event.ResultOmitted)
	}
}

func TestWorkerWithWebhooksNeedsASecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	client := orchestratortest.Client(t, orchestrator.ClientConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	d := told("test:told", "https://example.com/in")
	for want, config := range map[string]orchestrator.WorkerConfig{
		"WEBHOOK_SECRET is not set":                {},
		"WEBHOOK_SECRET: secret number 1":          {WebhookSecret: "hunter2"},
		"WEBHOOK_ALLOW_PRIVATE=perhaps: want true": {WebhookSecret: webhookSecret, WebhookAllowPrivate: "perhaps"},
	} {
		err := orchestrator.NewWorker(client, handle(d, fate), config).Run(t.Context())
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, one := range []struct {
		d      *orchestrator.Definition
		config orchestrator.WorkerConfig
	}{{d, orchestrator.WorkerConfig{WebhookOff: true}}, {d, orchestrator.WorkerConfig{Queues: []string{"default"}}}, {echo, orchestrator.WorkerConfig{}}} {
		stop := startWorker(t, client, handle(one.d, fate), one.config)
		_, err := result(t, enqueue(t, client, one.d, `{}`))
		require.NoError(t, err)
		stop()
	}
	require.Equal(t, 1, strings.Count(log.String(), "queues leave out the deliveries"))
	require.NotContains(t, log.String(), webhookSecret)
	require.PanicsWithValue(t, "orchestrator: task type orchestrator:webhook: names that begin with orchestrator: are the engine's own",
		func() { orchestrator.NewMux().HandleFunc("orchestrator:webhook", fate) })
}
