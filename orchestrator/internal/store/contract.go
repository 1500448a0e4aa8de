package store

import (
	"context"
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

const updatePolicy = `
UPDATE orchestrator.task_contracts
SET queue = $2, priority = $3, policy = $4::jsonb, payload_schema = $5::jsonb, result_schema = nullif($6::text, '')::jsonb,
    retention = $7 * interval '1 microsecond', webhook = nullif($8::text, ''), webhook_states = $9::smallint[],
    webhook_contract = nullif($10::integer, 0)
WHERE id = $1 AND (queue, priority, policy, payload_schema, result_schema, retention, webhook, webhook_states, webhook_contract)
    IS DISTINCT FROM ($2, $3, $4::jsonb, $5::jsonb, nullif($6::text, '')::jsonb, $7 * interval '1 microsecond',
        nullif($8::text, ''), $9::smallint[], nullif($10::integer, 0))`

// UpdatePolicy notes what does not enter the fingerprint, as the worker that
// started last has it: the policy, by which the CLI enqueues, and of the
// schemas descriptions and what is sensitive, by which it shows payloads.
func (s *Store) UpdatePolicy(ctx context.Context, c Contract) error {
	_, err := s.exec(ctx, updatePolicy, c.ID, c.Queue, c.Priority, c.Policy, c.PayloadSchema, c.ResultSchema, c.Retention.Microseconds(),
		c.Webhook, c.WebhookStates, c.WebhookContract)
	return wrap("update the policy of "+c.Type, err)
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
