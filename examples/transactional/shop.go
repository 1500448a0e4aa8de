package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// shop sells lamps.
type shop struct {
	client *orchestrator.Client
}

// Order is a row of the shop's own table.
type Order struct {
	bun.BaseModel `bun:"table:shop.orders"`

	ID          uuid.UUID `bun:",pk,type:uuid"`
	Customer    string    `bun:",notnull"`
	Amount      int64     `bun:",notnull"` // in the currency's smallest unit
	Currency    string    `bun:",notnull"`
	ConfirmedAt time.Time `bun:",nullzero"` // zero: not yet
}

func newOrder(customer string, amount int64, currency generated.MoneyCurrency) *Order {
	return &Order{ID: uuid.New(), Customer: customer, Amount: amount, Currency: string(currency)}
}

// open makes the tables and puts lamps on the shelf.
func (s *shop) open(ctx context.Context, lamps int) error {
	_, err := s.client.DB().ExecContext(ctx, `
		CREATE SCHEMA IF NOT EXISTS shop;
		CREATE TABLE IF NOT EXISTS shop.orders (
			id           uuid PRIMARY KEY,
			customer     text NOT NULL,
			amount       bigint NOT NULL,
			currency     text NOT NULL,
			confirmed_at timestamptz
		);
		CREATE TABLE IF NOT EXISTS shop.stock (
			item     text PRIMARY KEY,
			quantity int NOT NULL CHECK (quantity >= 0)
		);
		INSERT INTO shop.stock VALUES ('lamp', ?0) ON CONFLICT (item) DO UPDATE SET quantity = ?0`, lamps)
	return err
}

var errOutOfStock = errors.New("out of stock")

// place stores an order, enqueues its confirmation and takes a lamp from the
// shelf: all of it or, when an error is returned, nothing.
func (s *shop) place(ctx context.Context, o *Order) (task orchestrator.Handle[orchestrator.None], err error) {
	err = s.client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(o).Exec(ctx); err != nil {
			return err
		}
		task, err = generated.EnqueueOrderConfirm(ctx, s.client.InTx(tx), generated.OrderConfirmPayload{
			OrderID:  o.ID,
			Customer: o.Customer,
			Total:    generated.Money{Amount: o.Amount, Currency: generated.MoneyCurrency(o.Currency)},
		})
		if err != nil {
			return err
		}
		return takeLamp(ctx, tx)
	})
	return task, err
}

func takeLamp(ctx context.Context, tx bun.Tx) error {
	taken, err := tx.NewUpdate().Table("shop.stock").
		Set("quantity = quantity - 1").
		Where("item = 'lamp'").Where("quantity > 0").
		Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := taken.RowsAffected(); n == 0 {
		return errors.Join(err, errOutOfStock)
	}
	return nil
}

// found is what the database has of one order.
type found struct {
	Orders    int
	Tasks     int
	Confirmed bool
}

// find counts the shop's rows and the engine's side by side: they are in one
// database.
func (s *shop) find(ctx context.Context, order uuid.UUID) (f found, err error) {
	err = s.client.DB().NewSelect().
		ColumnExpr("(SELECT count(*) FROM shop.orders WHERE id = ?) AS orders", order).
		ColumnExpr("(SELECT count(*) FROM ?.all_tasks WHERE payload ->> 'order_id' = ?) AS tasks", bun.Ident(s.client.Schema()), order.String()).
		ColumnExpr("EXISTS (SELECT FROM shop.orders WHERE id = ? AND confirmed_at IS NOT NULL) AS confirmed", order).
		Scan(ctx, &f)
	return f, err
}
