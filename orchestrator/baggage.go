package orchestrator

import (
	"context"
	"encoding/json"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// metadataBaggage is the key of a task's metadata that holds the enqueuer's
// baggage.
const metadataBaggage = "baggage"

// addBaggage notes the baggage of ctx in the tasks, unless the caller has put
// something else there.
func (c *Client) addBaggage(ctx context.Context, tasks []store.NewTask) {
	text := c.tracing.Baggage(ctx)
	if text == "" {
		return
	}
	for i := range tasks {
		metadata := map[string]string{}
		if tasks[i].Metadata != "" {
			// Written by addMetadata, just now.
			_ = json.Unmarshal([]byte(tasks[i].Metadata), &metadata)
		}
		if _, taken := metadata[metadataBaggage]; taken {
			continue
		}
		metadata[metadataBaggage] = text
		if merged, err := json.Marshal(metadata); err == nil && checkText(merged) == nil {
			tasks[i].Metadata = string(merged)
		}
	}
}
