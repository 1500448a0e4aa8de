package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

func main() {
	total := flag.Int("total", 0, "how many tasks to drain")
	size := flag.Int("batch", 1000, "how many to claim and finish at a time")
	finishers := flag.Int("finishers", 2, "how many batches may be finished while the next is claimed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	took, err := drain(ctx, os.Getenv("DATABASE_URL"), *total, *size, *finishers)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bareloop:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"tasks": *total, "seconds": took.Seconds()})
}

// worker is the fence of the bare loop: no session of a real worker has it.
const worker = -1

// loop drains one queue.
type loop struct {
	pool                *pgxpool.Pool
	claiming, finishing string
	claims              int64 // made so far
	runAt               time.Time
	id                  int64
}

// batch is what one claim took.
type batch struct {
	claim int64
	ids   []int64
}

// drain claims one batch after the other, and finishes them beside that, until
// total tasks are finished. It returns how long that took.
func drain(ctx context.Context, url string, total, size, finishers int) (time.Duration, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	l := &loop{pool: pool}
	l.claiming, l.finishing = store.BareStatements()
	if err := pool.Ping(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	claimed, ended := make(chan batch, finishers), make(chan error, finishers)
	for range finishers {
		go func() { ended <- l.finishAll(ctx, claimed, cancel) }()
	}
	err = l.claimAll(ctx, total, size, claimed)
	close(claimed)
	for range finishers {
		if failed := <-ended; err == nil {
			err = failed
		}
	}
	return time.Since(began), err
}

func (l *loop) claimAll(ctx context.Context, total, size int, claimed chan<- batch) error {
	for left := total; left > 0; {
		b, err := l.claim(ctx, min(size, left))
		if err != nil {
			return err
		}
		if len(b.ids) == 0 {
			return fmt.Errorf("no task is ready in queue default, and %d of %d are to be drained", left, total)
		}
		left -= len(b.ids)
		select {
		case claimed <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (l *loop) finishAll(ctx context.Context, claimed <-chan batch, fail context.CancelCauseFunc) error {
	for b := range claimed {
		if err := l.finish(ctx, b); err != nil {
			fail(err)
			return err
		}
	}
	return nil
}

// claim takes up to n tasks behind the cursor, and moves it.
func (l *loop) claim(ctx context.Context, n int) (batch, error) {
	l.claims++
	b := batch{claim: l.claims}
	rows, err := l.pool.Query(ctx, l.claiming, []string{"default"}, []string{""}, []int16{0}, []time.Time{l.runAt}, []int64{l.id}, []int32{int32(n)},
		n, int32(1<<30), []int32{}, int64(worker), b.claim)
	if err != nil {
		return b, err
	}
	defer rows.Close()
	var id pgtype.Int8
	var runAt pgtype.Timestamptz
	columns := rows.FieldDescriptions()
	for rows.Next() {
		raw := rows.RawValues()
		if err := rows.Conn().TypeMap().Scan(columns[1].DataTypeOID, columns[1].Format, raw[1], &id); err != nil {
			return b, err
		}
		if id.Int64 == 0 {
			continue // only the time
		}
		if err := rows.Conn().TypeMap().Scan(columns[2].DataTypeOID, columns[2].Format, raw[2], &runAt); err != nil {
			return b, err
		}
		b.ids = append(b.ids, id.Int64)
		if c := runAt.Time.Compare(l.runAt); c > 0 || c == 0 && id.Int64 > l.id {
			l.runAt, l.id = runAt.Time, id.Int64
		}
	}
	slices.Sort(b.ids)
	return b, rows.Err()
}

// finish moves a batch to history.
func (l *loop) finish(ctx context.Context, b batch) error {
	n := len(b.ids)
	tag, err := l.pool.Exec(ctx, l.finishing, b.ids, slices.Repeat([]int64{b.claim}, n), int64(worker), store.StateSucceeded, int16(1), (7 * 24 * time.Hour).Microseconds())
	if err == nil && tag.RowsAffected() != int64(n) {
		err = fmt.Errorf("%d of %d tasks finished", tag.RowsAffected(), n)
	}
	return err
}
