package generated

import (
	"testing"

	"github.com/google/uuid"

	design "github.com/task-orchestrator/task-orchestrator/generate/golang/testdata/design/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// message has the eight values of an ordinary payload.
var message = design.EmailSendPayload{
	UserID:    1234567,
	AccountID: uuid.MustParse("3f2a51c4-0f9e-4a3c-9a57-0d2f5bb7a111"),
	Template:  "welcome",
	To:        "somebody@example.com",
	Cc:        []string{"a@example.com", "b@example.com"},
	Total:     &design.Money{Amount: 1999, Currency: design.MoneyCurrencyEUR},
	Token:     orchestrator.NewSensitive("hunter2"),
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := design.EmailSend.EncodePayload(message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := message.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	document, err := design.EmailSend.EncodePayload(message)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := design.EmailSend.DecodePayload(document); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnqueue is all that generated code does for one task, keys included.
func BenchmarkEnqueue(b *testing.B) {
	e := &recorder{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := design.EnqueueEmailSend(b.Context(), e, message); err != nil {
			b.Fatal(err)
		}
	}
}
