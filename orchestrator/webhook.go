package orchestrator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/outbound"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/webhook"
)

// WebhookQueue is the queue of deliveries to webhooks ([OnFinish]). A worker
// works it if it handles tasks that have a webhook and, where it is told its
// queues, this one is among them.
const WebhookQueue = store.WebhookQueue

// enginePrefix begins the names of the engine's own task types.
const enginePrefix = "orchestrator:"

// delivery is the type of the tasks that tell webhooks. They are enqueued by
// the statements that end tasks.
var delivery = &Definition{
	Name:    enginePrefix + "webhook",
	Queue:   &Queue{Name: WebhookQueue, PerWorker: 10},
	Timeout: 30 * time.Second,
	// About a day, until a receiver is mended.
	Retry:       RetryPolicy{MaxAttempts: 18, BaseDelay: 5 * time.Second, MaxDelay: 3 * time.Hour, Jitter: "equal"},
	Fingerprint: "v1:webhook",
	PayloadSchema: `{"type": "object", "required": ["url", "id", "type", "queue", "state", "attempts", "enqueued_at", "finished_at"], "properties": {
		"url": {"type": "string"}, "id": {"type": "integer"}, "type": {"type": "string"}, "queue": {"type": "string"},
		"state": {"type": "integer"}, "attempts": {"type": "integer"}, "enqueued_at": {"type": "string"}, "finished_at": {"type": "string"}}}`,
}

// deliveryPayload is written by the store.
type deliveryPayload struct {
	URL        string    `json:"url"`
	ID         TaskID    `json:"id"`
	Type       string    `json:"type"`
	Queue      string    `json:"queue"`
	State      int16     `json:"state"`
	Attempts   int       `json:"attempts"`
	EnqueuedAt time.Time `json:"enqueued_at"`
	FinishedAt time.Time `json:"finished_at"`
}

// The codes of deliveries that fail for good.
const (
	CodeWebhookRefused Code = "webhook_refused" // the URL leads where workers must not go
	CodeWebhookGone    Code = "webhook_gone"    // the receiver has answered 410
)

var endStates = []State{Succeeded, Dead, Cancelled, Expired}

// tells says whether tasks that end in state are told of.
func (d *Definition) tells(state State) bool {
	return d.OnFinish != nil && d.OnFinish.Webhook != "" && (len(d.OnFinish.States) == 0 || slices.Contains(d.OnFinish.States, state))
}

// webhookStates are the states that are told of, as stored.
func (d *Definition) webhookStates() []int16 {
	states := []int16{}
	for _, state := range endStates {
		if d.tells(state) {
			states = append(states, storedState(state))
		}
	}
	return states
}

// storedState is the number of a state in which tasks end.
func storedState(state State) int16 {
	switch state {
	case Dead:
		return store.StateDead
	case Cancelled:
		return store.StateCancelled
	case Expired:
		return store.StateExpired
	}
	return store.StateSucceeded
}

const (
	webhookTimeout = 15 * time.Second
	// maxWebhookResult is the largest result that is sent along.
	maxWebhookResult = 256 << 10
	// maxWebhookAnswer is what is read of an answer, for the error.
	maxWebhookAnswer = 1 << 10
	// maxWebhookPause bounds what a receiver may ask for by Retry-After.
	maxWebhookPause = 24 * time.Hour
)

// deliverer handles deliveries.
type deliverer struct {
	client  *Client
	http    *outbound.Client
	secrets webhook.Secrets
}

// newDeliverer returns an error that names the variable of a setting that is
// missing.
func (w *Worker) newDeliverer() (*deliverer, error) {
	if w.config.WebhookSecret == "" {
		return nil, errors.New("orchestrator: the spec has webhooks (on_finish), and WEBHOOK_SECRET is not set: " +
			"make one with `echo whsec_$(openssl rand -base64 32)`, or set WEBHOOK_OFF=true to leave deliveries to other workers")
	}
	secrets, allowed, err := w.config.webhooks()
	if err != nil {
		return nil, err
	}
	return &deliverer{w.client, outbound.New(allowed, webhookTimeout), secrets}, nil
}

// webhooks reads the settings of webhooks; a secret's value is not in the error.
func (c *WorkerConfig) webhooks() (secrets webhook.Secrets, allowed outbound.Allowed, err error) {
	var errs []error
	if c.WebhookSecret != "" {
		if secrets, err = webhook.ParseSecrets(c.WebhookSecret); err != nil {
			errs = append(errs, fmt.Errorf("orchestrator: WEBHOOK_SECRET: %w", err))
		}
	}
	if allowed, err = outbound.ParseAllowed(c.WebhookAllowPrivate); err != nil {
		errs = append(errs, fmt.Errorf("orchestrator: WEBHOOK_ALLOW_PRIVATE=%s: %w", c.WebhookAllowPrivate, err))
	}
	return secrets, allowed, errors.Join(errs...)
}

// HandleTask implements [Handler].
func (d *deliverer) HandleTask(ctx context.Context, task *Raw) ([]byte, error) {
	var p deliveryPayload
	if err := json.Unmarshal(task.Payload, &p); err != nil {
		return nil, Permanent(err)
	}
	event, err := d.event(ctx, p)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return nil, Permanent(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return nil, Permanent(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "task-orchestrator/"+Version())
	d.secrets.Sign(request.Header, task.ID.String(), time.Now(), body)
	response, err := d.http.Do(request)
	if errors.Is(err, outbound.ErrRefused) {
		return nil, Permanent(fmt.Errorf("%w: %w", CodeWebhookRefused, err))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return nil, judgeAnswer(response)
}

// event is what is told. What only history knows is left out when that has
// gone, or is of another end: a dead letter that was redriven meanwhile.
func (d *deliverer) event(ctx context.Context, p deliveryPayload) (webhook.Event, error) {
	event := webhook.Event{
		ID: int64(p.ID), Type: p.Type, Queue: p.Queue, State: string(stateOf(p.State)), Attempts: p.Attempts,
		EnqueuedAt: p.EnqueuedAt.UTC(), FinishedAt: p.FinishedAt.UTC(),
	}
	info, err := d.client.TaskInfo(ctx, p.ID)
	if errors.Is(err, ErrNotFound) || err == nil && !info.FinishedAt.Equal(p.FinishedAt) {
		event.ResultOmitted = p.State == store.StateSucceeded
		return event, nil
	}
	if err == nil {
		info, err = d.client.Redacted(ctx, info)
	}
	if err != nil {
		return event, err
	}
	if last := info.LastError(); last != nil && info.State != Succeeded {
		event.Code, event.Message = string(last.Code), last.Message
	}
	if event.Result = info.Result; len(event.Result) > maxWebhookResult {
		event.Result, event.ResultOmitted = nil, true
	}
	return event, nil
}

// judgeAnswer turns an answer into what becomes of the delivery.
func judgeAnswer(response *http.Response) error {
	if response.StatusCode/100 == 2 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxWebhookAnswer)) // the status says enough
	err := fmt.Errorf("the receiver answered %s: %s", response.Status, cmp.Or(strings.TrimSpace(string(said)), "(nothing)"))
	if response.StatusCode/100 == 3 {
		err = fmt.Errorf("the receiver answered %s, to %q: redirects are not followed, change the URL in the spec", response.Status, response.Header.Get("Location"))
	}
	if response.StatusCode == http.StatusGone {
		return Permanent(fmt.Errorf("%w: %w", CodeWebhookGone, err))
	}
	if pause := retryAfterOf(response.Header.Get("Retry-After"), time.Now()); pause > 0 {
		return RetryAfter(min(pause, maxWebhookPause), err)
	}
	return err
}

// retryAfterOf reads a Retry-After header: seconds or a date; 0 for none.
func retryAfterOf(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}
