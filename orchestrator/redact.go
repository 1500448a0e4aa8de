package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Redacted returns the task with "[redacted]" in place of what its spec
// declares sensitive, in payload and result. What shows tasks to people should
// go through it: [TaskInfo] itself holds them as they are stored.
func (c *Client) Redacted(ctx context.Context, task TaskInfo) (TaskInfo, error) {
	secrets, err := c.rawContracts.secrets.of(ctx, c, task.contract)
	if err == nil {
		task.Payload, err = secrets.payload.redact(task.Payload)
	}
	if err == nil {
		task.Result, err = secrets.result.redact(task.Result)
	}
	if err != nil {
		return TaskInfo{}, fmt.Errorf("orchestrator: redact task %s: %w", task.ID, err)
	}
	return task, nil
}

// secrets knows where stored contracts have sensitive fields. The schemas of a
// contract never change.
type secrets struct{ byContract sync.Map }

type contractSecrets struct{ payload, result secretSchema }

func (s *secrets) of(ctx context.Context, c *Client, contract int32) (*contractSecrets, error) {
	if known, ok := s.byContract.Load(contract); ok {
		return known.(*contractSecrets), nil
	}
	stored, err := c.store.ContractByID(ctx, contract)
	if err != nil {
		return nil, err
	}
	known := new(contractSecrets)
	if known.payload, err = newSecretSchema(stored.PayloadSchema); err != nil {
		return nil, err
	}
	if known.result, err = newSecretSchema(stored.ResultSchema); err != nil {
		return nil, err
	}
	s.byContract.Store(contract, known)
	return known, nil
}

// secretSchema is a schema that has sensitive fields; its zero value has none.
type secretSchema struct{ root schemaNode }

func newSecretSchema(text string) (secretSchema, error) {
	if !bytes.Contains([]byte(text), []byte(`"x-sensitive"`)) {
		return secretSchema{}, nil
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return secretSchema{}, err
	}
	return secretSchema{schemaNode{document, document}}, nil
}

func (s secretSchema) redact(document json.RawMessage) (json.RawMessage, error) {
	if s.root.object == nil || len(document) == 0 {
		return document, nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	return json.Marshal(redactedValue(s.root, value))
}

// redactedValue changes value in place and returns what is to stand for it.
func redactedValue(n schemaNode, value any) any {
	if n.object["x-sensitive"] == true && value != nil {
		return redacted
	}
	n = n.resolved()
	switch v := value.(type) {
	case []any:
		items, _ := n.object["items"].(map[string]any)
		for i := range v {
			v[i] = redactedValue(schemaNode{n.document, items}, v[i])
		}
	case map[string]any:
		values, isMap := n.object["additionalProperties"].(map[string]any)
		for name := range v {
			member, declared := n.property(name)
			if !declared && isMap {
				member = schemaNode{n.document, values}
			}
			v[name] = redactedValue(member, v[name])
		}
	}
	return value
}
