package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/examples/observed/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// work sends messages until ctx ends.
func work(ctx context.Context, client *orchestrator.Client, tracer trace.Tracer) error {
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return err
	}
	mux := orchestrator.NewMux()
	tasks.Register(mux, mailer{tracer})
	return orchestrator.NewWorker(client, mux, config).Run(ctx)
}

// busy is what a mail server says when it is to be tried again.
const busy orchestrator.Code = "smtp_busy"

type mailer struct{ tracer trace.Tracer }

// HandleMailWelcome has a span of its own, which the engine's span of the
// attempt is the parent of.
func (m mailer) HandleMailWelcome(ctx context.Context, t *tasks.MailWelcomeTask) (tasks.MailWelcomeResult, error) {
	ctx, span := m.tracer.Start(ctx, "smtp deliver", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("server.address", "smtp.example.com")))
	defer span.End()
	if err := deliver(ctx, t.Payload.To, t.Attempt); err != nil {
		span.SetStatus(codes.Error, err.Error())
		return tasks.MailWelcomeResult{}, err
	}
	return tasks.MailWelcomeResult{MessageID: "message-" + t.ID.String()}, nil
}

// deliver stands for a mail server, whose temper the address tells.
func deliver(ctx context.Context, to string, attempt int) error {
	user, _, _ := strings.Cut(to, "@")
	var failures int
	if n, _ := fmt.Sscanf(user, "fails-%d", &failures); n == 1 && attempt <= failures {
		return fmt.Errorf("mail server: %w: 451 try again later", busy)
	}
	switch user {
	case "rejected":
		return fmt.Errorf("mail server: %w: %w", tasks.MailWelcomeAddressRejected, errors.New("550 unknown user"))
	case "slow":
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
