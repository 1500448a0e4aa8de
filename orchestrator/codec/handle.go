package codec

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Register registers the user's handler h by way of the generated function
// that decodes for it and calls it. That function takes h as any, so that
// generated code needs no closure a task: the compiler copies closures and
// small functions wherever it inlines, and a large package pays for it.
//
//go:noinline
func Register(m *orchestrator.Mux, d *orchestrator.Definition, h any, handle func(ctx context.Context, h any, raw *orchestrator.Raw) ([]byte, error)) {
	m.Handle(d, handler{h, handle})
}

type handler struct {
	h      any
	handle func(ctx context.Context, h any, raw *orchestrator.Raw) ([]byte, error)
}

func (h handler) HandleTask(ctx context.Context, raw *orchestrator.Raw) ([]byte, error) {
	return h.handle(ctx, h.h, raw)
}

// DecodePayload decodes a task's payload into target. What cannot be decoded
// now cannot be decoded later: its error is permanent.
//
//go:noinline
func DecodePayload(raw *orchestrator.Raw, target any) error {
	return orchestrator.Permanent(Decode("payload", raw.Payload, target))
}
