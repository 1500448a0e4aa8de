package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

func TestProgramPrintsWhatItsCommentSays(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), orchestratortest.DB(t), &out))
	require.Equal(t, ""+
		"ada@example.com    placed         orders: 1, tasks: 1, confirmed: false\n"+
		"grace@example.com  out of stock   orders: 0, tasks: 0, confirmed: false\n"+
		"ada@example.com    task succeeded orders: 1, tasks: 1, confirmed: true\n", out.String())
}

func TestProgramRunsTwiceOnOneDatabase(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	var first, second bytes.Buffer
	require.NoError(t, run(t.Context(), url, &first))
	require.NoError(t, run(t.Context(), url, &second))
	require.Equal(t, first.String(), second.String())
}

func TestRollbackLeavesNeitherOrderNorTask(t *testing.T) {
	t.Parallel()
	s := newShop(t, 0)
	order := newOrder("grace@example.com", 100, generated.MoneyCurrencyUSD)

	task, err := s.place(t.Context(), order)
	require.ErrorIs(t, err, errOutOfStock)
	require.Equal(t, found{}, s.mustFind(t, order))
	_, err = task.Result(t.Context())
	require.ErrorIs(t, err, orchestrator.ErrNotFound)
}

func TestInvalidPayloadRollsTheOrderBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	order := newOrder("not an address", 100, generated.MoneyCurrencyUSD)

	_, err := s.place(t.Context(), order)
	var invalid *orchestrator.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "/customer", invalid.Violations[0].Pointer)
	require.Equal(t, found{}, s.mustFind(t, order))
}

func TestCommitLeavesBothAndTheHandlerFinishesBoth(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	order := newOrder("ada@example.com", 100, generated.MoneyCurrencyUSD)

	task, err := s.place(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, found{Orders: 1, Tasks: 1}, s.mustFind(t, order))

	s.drain(t, s)
	require.Equal(t, found{Orders: 1, Tasks: 1, Confirmed: true}, s.mustFind(t, order))
	info, err := s.client.TaskInfo(t.Context(), task.ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Succeeded, info.State)
	require.Equal(t, 1, info.Attempts)
}

// cutOff loses its first attempt after Complete and before the commit.
type cutOff struct {
	*shop
	seen chan found // what was there at the second attempt
}

func (c cutOff) HandleOrderConfirm(ctx context.Context, t *generated.OrderConfirmTask) error {
	if t.Attempt > 1 {
		f, err := c.find(ctx, t.Payload.OrderID)
		if err != nil {
			return err
		}
		c.seen <- f
		return c.shop.HandleOrderConfirm(ctx, t)
	}
	return c.client.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(confirm(ctx, tx, t), errors.New("cut off"))
	})
}

func TestHandlerCutOffBeforeItsCommitHasDoneNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	order := newOrder("ada@example.com", 100, generated.MoneyCurrencyUSD)
	task, err := s.place(t.Context(), order)
	require.NoError(t, err)

	h := cutOff{s, make(chan found, 1)}
	s.drain(t, h)
	require.Equal(t, found{Orders: 1, Tasks: 1, Confirmed: false}, <-h.seen)
	require.Equal(t, found{Orders: 1, Tasks: 1, Confirmed: true}, s.mustFind(t, order))
	info, err := s.client.TaskInfo(t.Context(), task.ID())
	require.NoError(t, err)
	require.Equal(t, orchestrator.Succeeded, info.State)
	require.Equal(t, 2, info.Attempts)
	require.Equal(t, "cut off", info.LastError().Message)
}

func newShop(t *testing.T, lamps int) *shop {
	t.Helper()
	s := &shop{client: orchestratortest.Client(t)}
	require.NoError(t, s.open(t.Context(), lamps))
	return s
}

func (s *shop) drain(t *testing.T, h generated.OrderHandlers) {
	t.Helper()
	mux := orchestrator.NewMux()
	generated.RegisterOrder(mux, h)
	orchestratortest.Drain(t, s.client, mux)
}

func (s *shop) mustFind(t *testing.T, o *Order) found {
	t.Helper()
	f, err := s.find(t.Context(), o.ID)
	require.NoError(t, err)
	return f
}
