package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// FewestCopied is from how many tasks on COPY is worth its round trips: it puts
// rows into pages many at a time, with one log record for them.
const FewestCopied = 500

// IDs are ids of tasks, on their way from the server.
type IDs struct {
	list  []int64   // in order, filled from the front
	drawn chan int  // how many more are in list; closed when no more come
	now   time.Time // of the first
	err   error     // set before drawn is closed
}

// drawIDs does not wait until the log is on the disk, as a commit after nextval
// does: that is so when the tasks are committed, whose records come later.
const drawIDs = `SELECT now(), ARRAY(SELECT nextval('orchestrator.task_id') FROM generate_series(1, $1::integer)),
    set_config('synchronous_commit', 'off', true)`

// drawnTogether is how many ids are drawn at a time: rows are on their way to
// the server with the first while it draws the others.
const drawnTogether = 1000

// DrawIDs begins to draw n ids, for [Store.InsertWith], and does not wait. Ids
// that no task gets are lost, which does no harm.
func (s *Store) DrawIDs(ctx context.Context, n int) *IDs {
	ids := &IDs{list: make([]int64, n), drawn: make(chan int, n/drawnTogether+1)}
	go func() {
		defer close(ids.drawn)
		ids.err = s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return s.draw(ctx, conn, ids) })
	}()
	return ids
}

func (s *Store) draw(ctx context.Context, conn *pgxpool.Conn, ids *IDs) error {
	for part := range slices.Chunk(ids.list, drawnTogether) {
		var now time.Time
		var drawn []int64
		if err := conn.QueryRow(ctx, s.text(drawIDs), s.mode, len(part)).Scan(&now, &drawn, nil); err != nil {
			return err
		}
		slices.Sort(drawn)
		copy(part, drawn)
		if ids.now.IsZero() {
			ids.now = now
		}
		ids.drawn <- len(part)
	}
	return nil
}

// wait waits until all ids are drawn.
func (ids *IDs) wait() error {
	for range ids.drawn {
	}
	return ids.err
}

// copyIn stores simple tasks by COPY, which returns nothing: so ids are drawn
// before, and the time that is told is of then.
func (s *Store) copyIn(ctx context.Context, tasks []NewTask, ids *IDs) ([]Inserted, error) {
	if ids == nil {
		ids = s.DrawIDs(ctx, len(tasks))
	}
	rows := newCopiedRows(tasks, ids)
	// With the first ids, whoever draws the others has the connection for that, and
	// needs none that a COPY has.
	if !rows.receive() {
		return nil, ids.err
	}
	n, err := s.pool.CopyFrom(ctx, pgx.Identifier{s.schema, "tasks"}, rows.columns, rows)
	if err := cmp.Or(ids.wait(), err); err != nil {
		return nil, err
	}
	return insertedAt(ids.now, ids.list), allStored(int(n), len(tasks))
}

// copiedRows implements [pgx.CopyFromSource].
type copiedRows struct {
	tasks []NewTask
	ids   *IDs
	drawn int // of ids
	at    int
	// columns are those that some task of the batch needs: each costs something
	// for each row, and most have defaults that are right for most batches.
	columns                                 []string
	sublane, waits, traceParent, traceState bool
	row                                     []any // one for all: CopyFrom writes each before it asks for the next
}

func newCopiedRows(tasks []NewTask, ids *IDs) *copiedRows {
	r := &copiedRows{tasks: tasks, ids: ids, at: -1}
	for i := range tasks {
		t := &tasks[i]
		r.sublane = r.sublane || t.Sublane != ""
		r.waits = r.waits || t.GroupKey != "" || t.LimitKey != ""
		r.traceParent = r.traceParent || t.TraceParent != ""
		r.traceState = r.traceState || t.TraceState != ""
	}
	r.columns = []string{"id", "contract", "priority", "queue", "payload"}
	if r.sublane {
		r.columns = append(r.columns, "sublane")
	}
	if r.waits {
		r.columns = append(r.columns, "state", "waits_for", "group_key", "limit_key")
	}
	if r.traceParent {
		r.columns = append(r.columns, "trace_parent")
	}
	if r.traceState {
		r.columns = append(r.columns, "trace_state")
	}
	r.row = make([]any, 0, len(r.columns))
	return r
}

func (r *copiedRows) receive() bool {
	n, more := <-r.ids.drawn
	r.drawn += n
	return more
}

// Next implements [pgx.CopyFromSource].
func (r *copiedRows) Next() bool {
	r.at++
	return r.at < len(r.tasks) && (r.at < r.drawn || r.receive())
}

// Values implements [pgx.CopyFromSource].
func (r *copiedRows) Values() ([]any, error) {
	t := &r.tasks[r.at]
	r.row = append(r.row[:0], r.ids.list[r.at], t.Contract, t.Priority, t.Queue, t.Payload)
	if r.sublane {
		r.row = append(r.row, t.Sublane)
	}
	if r.waits {
		state := t.state()
		r.row = append(r.row, state, state, textOrNull(t.GroupKey), textOrNull(t.LimitKey))
	}
	if r.traceParent {
		r.row = append(r.row, textOrNull(t.TraceParent))
	}
	if r.traceState {
		r.row = append(r.row, textOrNull(t.TraceState))
	}
	return r.row, nil
}

// state is what newState is.
func (t *NewTask) state() int16 {
	switch {
	case t.GroupKey != "":
		return StateBlocked
	case t.LimitKey != "":
		return StateThrottled
	}
	return StateReady
}

// Err implements [pgx.CopyFromSource].
func (r *copiedRows) Err() error {
	if r.at < len(r.tasks) && r.at >= r.drawn {
		return r.ids.err
	}
	return nil
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
