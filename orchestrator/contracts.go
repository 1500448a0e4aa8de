package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// contracts knows the database ids of the definitions a client has used.
type contracts struct {
	ids sync.Map // *Definition -> int32
}

// contractID returns the id of d's contract, storing the contract when the
// database sees it for the first time. This never happens in a transaction of
// the caller's: a contract outlives the transaction that first needed it.
func (c *Client) contractID(ctx context.Context, d *Definition) (int32, error) {
	return c.contractIDBy(ctx, d, c.store.ContractID)
}

func (c *Client) contractIDBy(ctx context.Context, d *Definition, find func(context.Context, store.Contract) (int32, error)) (int32, error) {
	if id, ok := c.contracts.ids.Load(d); ok {
		return id.(int32), nil
	}
	contract, err := c.contract(ctx, d, find)
	if err != nil {
		return 0, err
	}
	id, err := find(ctx, contract)
	if err != nil {
		return 0, err
	}
	c.contracts.ids.Store(d, id)
	return id, nil
}

// contract is what is stored of d. The contract of deliveries is stored before
// that of a task whose end they are to tell.
func (c *Client) contract(
	ctx context.Context, d *Definition, find func(context.Context, store.Contract) (int32, error),
) (contract store.Contract, err error) {
	if contract, err = contractOf(d); err != nil || contract.Webhook == "" {
		return contract, err
	}
	contract.WebhookContract, err = c.contractIDBy(ctx, delivery, find)
	return contract, err
}

// contractOf is contract without the id of another.
func contractOf(d *Definition) (store.Contract, error) {
	policy, err := json.Marshal(d)
	if err != nil {
		return store.Contract{}, fmt.Errorf("orchestrator: contract of %s: %w", d.Name, err)
	}
	schema := d.PayloadSchema
	if schema == "" {
		schema = "{}"
	}
	contract := store.Contract{
		Type: d.Name, Fingerprint: d.Fingerprint, Queue: d.queueName(), Priority: int16(d.Priority),
		PayloadSchema: schema, ResultSchema: d.ResultSchema, Policy: string(policy), Retention: d.retention(),
	}
	if d.OnFinish != nil {
		contract.Webhook, contract.WebhookStates = d.OnFinish.Webhook, d.webhookStates()
	}
	return contract, nil
}

// definitionOf is the reverse of contractOf.
func definitionOf(c store.Contract) (*Definition, error) {
	d := new(Definition)
	if err := json.Unmarshal([]byte(c.Policy), d); err != nil {
		return nil, fmt.Errorf("orchestrator: stored policy of %s (contract %d): %w", c.Type, c.ID, err)
	}
	d.PayloadSchema, d.ResultSchema = c.PayloadSchema, c.ResultSchema
	return d, nil
}
