package codec

import (
	"context"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Handler ties the user's handler h to the generated function that decodes
// for it and calls it. That function takes h as any, so that generated code
// needs no closure a task: the compiler copies closures wherever it inlines.
func Handler(h any, handle func(ctx context.Context, h any, raw *orchestrator.Raw) ([]byte, error)) orchestrator.Handler {
	return handler{h, handle}
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
func DecodePayload(raw *orchestrator.Raw, target any) error {
	return orchestrator.Permanent(Decode("payload", raw.Payload, target))
}
