package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-orchestrator/task-orchestrator/examples/observed/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// serve takes sign-ups until ctx ends.
func serve(ctx context.Context, client *orchestrator.Client, tracer trace.Tracer) error {
	addr := os.Getenv("APP_ADDR")
	if addr == "" {
		addr = "127.0.0.1:8080"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("web listens on http://%s\n", listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", signUp(client, tracer))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { closed <- server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(listener); stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-closed
}

// signUp enqueues the welcome message inside the request's span, and answers
// with the task and the trace to follow it by.
func signUp(client *orchestrator.Client, tracer trace.Tracer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), "POST /users", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		task, err := tasks.EnqueueMailWelcome(ctx, client, tasks.MailWelcomePayload{To: r.FormValue("email")})
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		fmt.Fprintf(w, "task=%s trace=%s\n", task.ID(), span.SpanContext().TraceID())
	}
}
