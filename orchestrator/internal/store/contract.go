package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Contract is one shape of a task type, as stored.
type Contract struct {
	ID            int32
	Type          string
	Fingerprint   string
	Queue         string
	Priority      int16
	PayloadSchema string
	ResultSchema  string // "" for none
	Policy        string // JSON
	// Retention is how long finished tasks are kept. It is written with the
	// contract, for the statements that end tasks without a worker.
	Retention time.Duration
	// Webhook is told of tasks that end in one of WebhookStates, by a task of
	// the contract WebhookContract; "": nobody is.
	Webhook         string
	WebhookStates   []int16
	WebhookContract int32
	CreatedAt       time.Time
}

const contractColumns = `id, task_type, fingerprint, queue, priority, payload_schema::text, coalesce(result_schema::text, ''), policy::text, created_at`

const findContract = `SELECT id FROM orchestrator.task_contracts WHERE task_type = $1 AND fingerprint = $2`

// addContract is tried only after findContract, because every try of an
// INSERT ... ON CONFLICT draws a number.
const addContract = `
INSERT INTO orchestrator.task_contracts (task_type, fingerprint, queue, priority, payload_schema, result_schema, policy, retention,
    webhook, webhook_states, webhook_contract)
VALUES ($1, $2, $3, $4, $5::jsonb, nullif($6::text, '')::jsonb, $7::jsonb, $8 * interval '1 microsecond',
    nullif($9::text, ''), $10::smallint[], nullif($11::integer, 0))
ON CONFLICT (task_type, fingerprint) DO NOTHING`

// ContractID returns the id of a contract and stores the contract first if it
// is new.
func (s *Store) ContractID(ctx context.Context, c Contract) (id int32, err error) {
	return s.contractID(ctx, s.pool, c)
}

// ContractIDApart is ContractID on a connection of its own.
func (s *Store) ContractIDApart(ctx context.Context, c Contract) (id int32, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return 0, wrap("find the contract of "+c.Type, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	return s.contractID(ctx, conn, c)
}

func (s *Store) contractID(ctx context.Context, db interface {
	QueryRow(ctx context.Context, statement string, args ...any) pgx.Row
	Exec(ctx context.Context, statement string, args ...any) (pgconn.CommandTag, error)
}, c Contract,
) (id int32, err error) {
	for {
		err := db.QueryRow(ctx, s.text(findContract), s.mode, c.Type, c.Fingerprint).Scan(&id)
		if !errors.Is(err, pgx.ErrNoRows) {
			return id, wrap("find the contract of "+c.Type, err)
		}
		_, err = db.Exec(ctx, s.text(addContract), s.mode, c.Type, c.Fingerprint, c.Queue, c.Priority, c.PayloadSchema, c.ResultSchema, c.Policy,
			c.Retention.Microseconds(), c.Webhook, c.WebhookStates, c.WebhookContract)
		if err != nil {
			return 0, wrap("store the contract of "+c.Type, err)
		}
	}
}

// updatePolicies locks the rows that differ in the order of their ids, because
// other workers may be starting too.
const updatePolicies = `
WITH x AS MATERIALIZED (
    SELECT r.id, r.queue, r.priority, r.policy, r.payload_schema, r.result_schema, r.retention * interval '1 microsecond' AS retention,
        nullif(r.webhook, '') AS webhook, r.webhook_states, nullif(r.webhook_contract, 0) AS webhook_contract
    FROM json_to_recordset($1::json) AS r(id integer, queue text, priority smallint, policy jsonb, payload_schema jsonb, result_schema jsonb,
        retention bigint, webhook text, webhook_states smallint[], webhook_contract integer)),
differ AS MATERIALIZED (
    SELECT c.id FROM orchestrator.task_contracts c JOIN x ON x.id = c.id
    WHERE (c.queue, c.priority, c.policy, c.payload_schema, c.result_schema, c.retention, c.webhook, c.webhook_states, c.webhook_contract)
        IS DISTINCT FROM (x.queue, x.priority, x.policy, x.payload_schema, x.result_schema, x.retention, x.webhook, x.webhook_states, x.webhook_contract)
    ORDER BY c.id FOR UPDATE OF c)
UPDATE orchestrator.task_contracts c
SET queue = x.queue, priority = x.priority, policy = x.policy, payload_schema = x.payload_schema, result_schema = x.result_schema,
    retention = x.retention, webhook = x.webhook, webhook_states = x.webhook_states, webhook_contract = x.webhook_contract
FROM x WHERE x.id = c.id AND c.id IN (SELECT id FROM differ)`

// contractPolicy is a row that updatePolicies takes.
type contractPolicy struct {
	ID              int32           `json:"id"`
	Queue           string          `json:"queue"`
	Priority        int16           `json:"priority"`
	Policy          json.RawMessage `json:"policy"`
	PayloadSchema   json.RawMessage `json:"payload_schema"`
	ResultSchema    json.RawMessage `json:"result_schema,omitempty"`
	Retention       int64           `json:"retention"` // µs
	Webhook         string          `json:"webhook"`
	WebhookStates   []int16         `json:"webhook_states"`
	WebhookContract int32           `json:"webhook_contract"`
}

// UpdatePolicies notes what does not enter the fingerprint, as the worker that
// started last has it: the policy, by which the CLI enqueues, and of the
// schemas descriptions and what is sensitive, by which it shows payloads.
func (s *Store) UpdatePolicies(ctx context.Context, contracts []Contract) error {
	const doing = "update the policies of task types"
	policies := make([]contractPolicy, len(contracts))
	for i, c := range contracts {
		policies[i] = contractPolicy{
			ID: c.ID, Queue: c.Queue, Priority: c.Priority, Policy: json.RawMessage(c.Policy), PayloadSchema: json.RawMessage(c.PayloadSchema),
			ResultSchema: json.RawMessage(c.ResultSchema), Retention: c.Retention.Microseconds(),
			Webhook: c.Webhook, WebhookStates: c.WebhookStates, WebhookContract: c.WebhookContract,
		}
	}
	text, err := json.Marshal(policies)
	if err != nil {
		return wrap(doing, err)
	}
	_, err = s.exec(ctx, updatePolicies, string(text))
	return wrap(doing, err)
}

const allContracts = `SELECT ` + contractColumns + ` FROM orchestrator.task_contracts ORDER BY id`

// Contracts returns all stored contracts, oldest first.
func (s *Store) Contracts(ctx context.Context) ([]Contract, error) {
	return s.contracts(ctx, allContracts)
}

const contractsOf = `SELECT ` + contractColumns + ` FROM orchestrator.task_contracts WHERE task_type = $1 ORDER BY id DESC`

// ContractsOf returns the contracts of one task type, newest first.
func (s *Store) ContractsOf(ctx context.Context, taskType string) ([]Contract, error) {
	return s.contracts(ctx, contractsOf, taskType)
}

// ErrNoContract says that no contract of a task type is stored.
var ErrNoContract = errors.New("no contract")

const newestContract = `SELECT ` + contractColumns + ` FROM orchestrator.task_contracts WHERE task_type = $1 ORDER BY id DESC LIMIT 1`

// NewestContract returns the contract of one task type that was stored last,
// or ErrNoContract.
func (s *Store) NewestContract(ctx context.Context, taskType string) (Contract, error) {
	return one(s.contracts(ctx, newestContract, taskType))
}

func one(found []Contract, err error) (Contract, error) {
	if err == nil && len(found) == 0 {
		err = ErrNoContract
	}
	if err != nil {
		return Contract{}, err
	}
	return found[0], nil
}

const contractByID = `SELECT ` + contractColumns + ` FROM orchestrator.task_contracts WHERE id = $1`

// ContractByID returns one contract, or ErrNoContract.
func (s *Store) ContractByID(ctx context.Context, id int32) (Contract, error) {
	return one(s.contracts(ctx, contractByID, id))
}

const taskTypes = `SELECT DISTINCT task_type FROM orchestrator.task_contracts`

// TaskTypes returns the names of all stored task types, in no order.
func (s *Store) TaskTypes(ctx context.Context) ([]string, error) {
	rows, err := s.query(ctx, taskTypes)
	if err != nil {
		return nil, wrap("read contracts", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, wrap("read contracts", err)
}

func (s *Store) contracts(ctx context.Context, statement string, args ...any) ([]Contract, error) {
	rows, err := s.query(ctx, statement, args...)
	if err != nil {
		return nil, wrap("read contracts", err)
	}
	all, err := pgx.CollectRows(rows, scanContract)
	return all, wrap("read contracts", err)
}

func scanContract(row pgx.CollectableRow) (c Contract, err error) {
	err = row.Scan(&c.ID, &c.Type, &c.Fingerprint, &c.Queue, &c.Priority, &c.PayloadSchema, &c.ResultSchema, &c.Policy, &c.CreatedAt)
	return c, err
}
