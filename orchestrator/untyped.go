package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// EnqueueRaw enqueues a task by the name of its type, without generated code:
// for tools, tests, and programs in front of a queue that they do not handle.
//
// The payload is checked against the JSON Schema of the newest contract stored
// for the type, formats included, and a [*ValidationError] lists what is wrong
// with it. Queue, priority, ttl and keys are derived as the generated enqueue
// function derives them. An [*UnknownTaskError] says that no worker and no
// enqueue has brought a contract of that name yet.
func (c *Client) EnqueueRaw(ctx context.Context, taskType string, payload []byte, opts ...EnqueueOption) (TaskRef, error) {
	r, err := c.rawRequest(ctx, taskType, payload)
	if err != nil {
		return TaskRef{}, fmt.Errorf("orchestrator: enqueue %s: %w", taskType, err)
	}
	r.Apply(opts)
	refs, err := c.Enqueue(ctx, []Request{r})
	if err != nil {
		return TaskRef{}, err
	}
	return refs[0], nil
}

// UnknownTaskError says that no contract of a task type is stored.
type UnknownTaskError struct {
	Type string
	Near []string // stored types with similar names, nearest first
	None bool     // no type at all is stored
}

func (e *UnknownTaskError) Error() string {
	switch {
	case e.None:
		return "unknown task type: no contract is stored in this database yet; start a worker of your program once"
	case len(e.Near) > 0:
		return "unknown task type; did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return "unknown task type; its contract is stored when a worker that handles it starts"
}

// Is matches [ErrUnknownTask].
func (e *UnknownTaskError) Is(target error) bool { return target == ErrUnknownTask }

// rawRequest finds the contract and lets it make the request.
func (c *Client) rawRequest(ctx context.Context, taskType string, payload []byte) (Request, error) {
	stored, err := c.store.NewestContract(ctx, taskType)
	if errors.Is(err, store.ErrNoContract) {
		return Request{}, c.unknownTask(ctx, taskType)
	}
	if err != nil {
		return Request{}, err
	}
	contract, err := c.rawContracts.get(c, stored)
	if err != nil {
		return Request{}, err
	}
	return contract.request(payload)
}

func (c *Client) unknownTask(ctx context.Context, taskType string) error {
	known, err := c.store.TaskTypes(ctx)
	if err != nil {
		return err
	}
	return &UnknownTaskError{Type: taskType, Near: nearest.Names(taskType, known, 3), None: len(known) == 0}
}

// rawContracts keeps what was made of stored contracts, by id. The schemas of
// a contract never change; its policy may.
type rawContracts struct {
	mu   sync.Mutex
	byID map[int32]*rawContract

	secrets secrets
}

type rawContract struct {
	policy     string
	definition *Definition
	payload    *payloadSchema
	keys       []rawKey
}

func (r *rawContracts) get(c *Client, stored store.Contract) (*rawContract, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.byID[stored.ID]; kept != nil {
		if kept.policy == stored.Policy {
			return kept, nil
		}
		// The definition is about to be replaced: do not remember it for ever.
		c.contracts.ids.Delete(kept.definition)
	}
	contract, err := newRawContract(stored)
	if err != nil {
		return nil, err
	}
	if r.byID == nil {
		r.byID = map[int32]*rawContract{}
	}
	r.byID[stored.ID] = contract
	c.contracts.ids.Store(contract.definition, stored.ID)
	return contract, nil
}

func newRawContract(stored store.Contract) (*rawContract, error) {
	definition, err := definitionOf(stored)
	if err != nil {
		return nil, err
	}
	schema, err := compilePayloadSchema(stored.PayloadSchema)
	if err != nil {
		return nil, fmt.Errorf("stored schema (contract %d): %w", stored.ID, err)
	}
	contract := &rawContract{policy: stored.Policy, definition: definition, payload: schema}
	for _, one := range []struct {
		fields []string
		target func(*Request) *string
	}{
		{idempotencyFields(definition), func(r *Request) *string { return &r.IdempotencyKey }},
		{definition.Group, func(r *Request) *string { return &r.GroupKey }},
		{limitFields(definition), func(r *Request) *string { return &r.LimitKey }},
	} {
		if len(one.fields) == 0 {
			continue
		}
		key, err := schema.key(one.fields, one.target)
		if err != nil {
			return nil, fmt.Errorf("stored schema (contract %d): %w", stored.ID, err)
		}
		contract.keys = append(contract.keys, key)
	}
	return contract, nil
}

// request checks a payload and turns it into a request.
func (k *rawContract) request(payload []byte) (Request, error) {
	if payload = bytes.TrimSpace(payload); len(payload) == 0 {
		payload = []byte("{}")
	}
	// Before it is parsed: what is too large or no text costs nothing.
	if err := checkText(payload); err != nil {
		return Request{}, fmt.Errorf("payload: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return Request{}, &ValidationError{Subject: "payload", Violations: []Violation{{Message: "not valid JSON: " + err.Error()}}}
	}
	if violations := k.payload.check(document); len(violations) > 0 {
		return Request{}, &ValidationError{Subject: "payload", Violations: violations}
	}
	r := Request{Definition: k.definition, Payload: payload}
	for _, key := range k.keys {
		if err := key.set(&r, document); err != nil {
			return Request{}, err
		}
	}
	return r, nil
}

func idempotencyFields(d *Definition) []string {
	if d.Idempotency == nil {
		return nil
	}
	return d.Idempotency.Key
}

func limitFields(d *Definition) []string {
	if d.Concurrency == nil {
		return nil
	}
	return d.Concurrency.By
}
