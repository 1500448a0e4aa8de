package orchestrator

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// Tx is an open transaction: a [*sql.Tx] or a [bun.Tx]. A database handle has
// no Commit, so it does not compile here.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Commit() error
	Rollback() error
}

// InTx returns an Enqueuer whose tasks live and die with tx: rolled back they
// never were, committed they are there with the caller's own rows. tx may be
// on any driver, on the database the client is for; a [bun.Tx] of the client's
// own [Client.DB] costs least. The caller commits.
func (c *Client) InTx(tx Tx) Enqueuer {
	q, err := c.querierOf(tx)
	return &txEnqueuer{client: c, tx: q, err: err}
}

// InPgxTx is [Client.InTx] for a transaction of pgx.
func (c *Client) InPgxTx(tx pgx.Tx) Enqueuer {
	return &txEnqueuer{client: c, tx: store.PgxTx{Tx: tx}}
}

// querierOf unwraps bun's transaction: it would replace a literal ? in the
// statement and does not bind $1. One of the client's own handle, which its
// dialect tells, is on pgx and may use prepared statements: planning them anew
// would be the largest part of a call.
func (c *Client) querierOf(tx Tx) (store.Querier, error) {
	switch tx := tx.(type) {
	case *sql.Tx:
		return store.SQLTx{Tx: tx}, nil
	case *bun.Tx:
		return c.querierOf(*tx)
	case bun.Tx:
		if tx.Dialect() == c.db.Dialect() {
			return c.store.OwnTx(tx.Tx), nil
		}
		return store.SQLTx{Tx: tx.Tx}, nil
	}
	return nil, fmt.Errorf("orchestrator: cannot enqueue in a %T: want a *sql.Tx, a bun.Tx, or InPgxTx", tx)
}

type txEnqueuer struct {
	client   *Client
	tx       store.Querier
	err      error // of InTx, which has no other way to say it
	notified map[string]bool
}

// Enqueue implements [Enqueuer].
func (e *txEnqueuer) Enqueue(ctx context.Context, batch []Request) ([]TaskRef, error) {
	if e.err != nil || len(batch) == 0 {
		return nil, e.err
	}
	tasks := make([]store.NewTask, len(batch))
	if err := newTasks(ctx, batch, tasks, e.contractID); err != nil {
		return nil, named(batch, err)
	}
	ctx, sent := e.client.send(ctx, tasks)
	refs, err := e.insert(ctx, batch, tasks)
	sent(refs, err)
	if err != nil {
		return nil, named(batch, err)
	}
	return refs, nil
}

// contractID asks on a connection that is not the pool's: transactions like
// this one may hold all of those.
func (e *txEnqueuer) contractID(ctx context.Context, d *Definition) (int32, error) {
	return e.client.contractIDBy(ctx, d, e.client.store.ContractIDApart)
}

func (e *txEnqueuer) insert(ctx context.Context, batch []Request, tasks []store.NewTask) ([]TaskRef, error) {
	if len(tasks) == 1 && tasks[0].Simple() {
		return e.insertOne(ctx, batch, tasks[0])
	}
	rows, handed, err := e.client.store.InsertIn(ctx, e.tx, tasks)
	if err != nil {
		return nil, err
	}
	lanes := lanesOf(tasks)
	maps.Copy(lanes, lanesHandedOver(handed))
	if err := e.notify(ctx, lanes); err != nil {
		return nil, err
	}
	return e.client.refs(batch, rows)
}

// insertOne stores a simple task, and tells of its lane, in one statement.
func (e *txEnqueuer) insertOne(ctx context.Context, batch []Request, task store.NewTask) ([]TaskRef, error) {
	row, err := e.client.store.InsertOneIn(ctx, e.tx, task, laneOf(&task).String())
	if err != nil {
		return nil, err
	}
	return e.client.refs(batch, []store.Inserted{row})
}

// notify tells workers once a lane and transaction; PostgreSQL delivers it
// with the commit.
func (e *txEnqueuer) notify(ctx context.Context, lanes map[lane]struct{}) error {
	for lane := range lanes {
		name := lane.String()
		if e.notified[name] {
			continue
		}
		if e.notified == nil {
			e.notified = map[string]bool{}
		}
		e.notified[name] = true
		if err := e.client.store.NotifyIn(ctx, e.tx, name); err != nil {
			return err
		}
	}
	return nil
}
