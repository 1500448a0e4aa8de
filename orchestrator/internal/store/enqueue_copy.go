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

// optionalColumns are sent for a batch in which some task needs them: each costs
// something for each row, and most have defaults that are right for most batches.
var optionalColumns = []copiedColumn{
	{"sublane", func(t *NewTask) bool { return t.Sublane != "" }, func(t *NewTask) any { return t.Sublane }},
	{"state", (*NewTask).waits, func(t *NewTask) any { return t.state() }},
	{"waits_for", (*NewTask).waits, func(t *NewTask) any { return t.state() }},
	{"group_key", func(t *NewTask) bool { return t.GroupKey != "" }, func(t *NewTask) any { return textOrNull(t.GroupKey) }},
	{"limit_key", func(t *NewTask) bool { return t.LimitKey != "" }, func(t *NewTask) any { return textOrNull(t.LimitKey) }},
	{"trace_parent", func(t *NewTask) bool { return t.TraceParent != "" }, func(t *NewTask) any { return textOrNull(t.TraceParent) }},
	{"trace_state", func(t *NewTask) bool { return t.TraceState != "" }, func(t *NewTask) any { return textOrNull(t.TraceState) }},
}

type copiedColumn struct {
	name   string
	needed func(*NewTask) bool // for a task
	value  func(*NewTask) any
}

// copiedRows implements [pgx.CopyFromSource].
type copiedRows struct {
	tasks    []NewTask
	ids      *IDs
	drawn    int // of ids
	at       int
	columns  []string
	optional []copiedColumn // the last of columns
	row      []any          // one for all: CopyFrom writes each before it asks for the next
}

func newCopiedRows(tasks []NewTask, ids *IDs) *copiedRows {
	r := &copiedRows{tasks: tasks, ids: ids, at: -1, columns: []string{"id", "contract", "priority", "queue", "payload"}}
	for _, column := range optionalColumns {
		for i := range tasks {
			if column.needed(&tasks[i]) {
				r.columns, r.optional = append(r.columns, column.name), append(r.optional, column)
				break
			}
		}
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
	for _, column := range r.optional {
		r.row = append(r.row, column.value(t))
	}
	return r.row, nil
}

// waits tells whether the task waits for its group's turn or for a slot.
func (t *NewTask) waits() bool { return t.state() != StateReady }

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
