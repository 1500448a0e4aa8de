package generated

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	design "github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/design/generated"
	"github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/everything/everything"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestEnqueue(t *testing.T) {
	t.Parallel()
	e := &recorder{}
	handle, err := design.EnqueueEmailSend(t.Context(), e, message)
	require.NoError(t, err)
	require.Equal(t, orchestrator.TaskID(1), handle.ID())
	require.Len(t, e.batch, 1)
	require.Same(t, design.EmailSend.Definition, e.batch[0].Definition)
	require.JSONEq(t, `{
		"user_id": 1234567, "account_id": "3f2a51c4-0f9e-4a3c-9a57-0d2f5bb7a111", "template": "welcome",
		"to": "somebody@example.com", "cc": ["a@example.com", "b@example.com"],
		"total": {"amount": 1999, "currency": "EUR"}, "token": "hunter2"
	}`, string(e.batch[0].Payload))
	require.Equal(t, `[1234567,"welcome"]`, e.batch[0].IdempotencyKey)
	require.Equal(t, `["3f2a51c4-0f9e-4a3c-9a57-0d2f5bb7a111"]`, e.batch[0].LimitKey)
	require.Empty(t, e.batch[0].GroupKey)

	bad := message
	bad.To = "nobody"
	_, err = design.EnqueueEmailSend(t.Context(), e, bad)
	require.EqualError(t, err, "orchestrator: enqueue email:send: payload /to: not an email address")
	_, err = design.EnqueueEmailSendMany(t.Context(), e, []design.EmailSendPayload{message, bad})
	require.EqualError(t, err, "orchestrator: enqueue email:send: task 1 of the batch: payload /to: not an email address")

	handles, err := design.EnqueueEmailSendMany(t.Context(), e, []design.EmailSendPayload{message, message})
	require.NoError(t, err)
	require.Len(t, handles, 2)
	require.Equal(t, orchestrator.TaskID(2), handles[1].ID())

	e.fails = errors.New("no database")
	_, err = design.EnqueueEmailSend(t.Context(), e, message)
	require.ErrorIs(t, err, e.fails)

	_, err = everything.EnqueueCleanup(t.Context(), &recorder{}, everything.CleanupPayload{})
	require.NoError(t, err)
}

// An optional field that is null takes the task out of its group.
func TestKeysOfOptionalFields(t *testing.T) {
	t.Parallel()
	e := &recorder{}
	p := everything.PlaceOrderPayload{
		OrderID: message.AccountID, Region: everything.PlaceOrderPayloadRegionEu,
		Address: everything.Address{City: "Porto"}, Skus: []string{"ABC-1"},
		Price: orchestrator.MustDecimal("1"), Ratio: 1, At: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		HTTPURL: "urn:x",
	}
	_, err := everything.EnqueuePlaceOrder(t.Context(), e, p)
	require.NoError(t, err)
	require.Empty(t, e.batch[0].GroupKey)
	require.Equal(t, `["eu"]`, e.batch[0].LimitKey)

	p.AccountID = new(int64(7))
	_, err = everything.EnqueuePlaceOrder(t.Context(), e, p)
	require.NoError(t, err)
	require.Equal(t, `[7,"Porto"]`, e.batch[0].GroupKey)
}

// handlers implements every task of the design's spec.
type handlers struct{}

func (handlers) HandleEmailSend(context.Context, *design.EmailSendTask) (design.EmailSendResult, error) {
	return design.EmailSendResult{}, nil
}

func (handlers) HandleLedgerPost(context.Context, *design.LedgerPostTask) error { return nil }

func (handlers) HandleReportDigest(context.Context, *design.ReportDigestTask) error { return nil }

func TestRegister(t *testing.T) {
	t.Parallel()
	m := orchestrator.NewMux()
	design.Register(m, handlers{})
	require.PanicsWithValue(t, "orchestrator: task type email:send already has a handler", func() {
		design.RegisterEmailSend(m, handlers{})
	})
}

// recorder is an Enqueuer that keeps the last batch.
type recorder struct {
	batch []orchestrator.Request
	fails error
}

func (r *recorder) Enqueue(_ context.Context, batch []orchestrator.Request) ([]orchestrator.TaskRef, error) {
	if r.fails != nil {
		return nil, r.fails
	}
	r.batch = batch
	refs := make([]orchestrator.TaskRef, len(batch))
	for i := range refs {
		refs[i] = orchestrator.NewTaskRef(orchestrator.TaskID(i+1), false, nil)
	}
	return refs, nil
}
