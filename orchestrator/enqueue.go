package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// pendingInsert is one task on its way through the client's group commit, and
// the answer, which is in row when done has been told: arrays of one, because
// everything else takes slices. It comes from a pool and goes back there when the
// task is stored; after an error a flush may still be reading it.
type pendingInsert struct {
	task [1]store.NewTask
	row  [1]store.Inserted
	done chan error
}

var pendingInserts = sync.Pool{New: func() any { return &pendingInsert{done: make(chan error, 1)} }}

func (p *pendingInsert) release() {
	*p = pendingInsert{done: p.done}
	pendingInserts.Put(p)
}

// Enqueue implements [Enqueuer]: the batch is durable when it returns.
//
// Single tasks that are enqueued at the same time share one INSERT and one
// commit. With a ctx that has ended nothing is stored. When it ends before the
// database has answered, the outcome is unknown, and the error says so; an
// idempotency key makes trying again safe.
func (c *Client) Enqueue(ctx context.Context, batch []Request) ([]TaskRef, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if len(batch) > 1 {
		tasks := taskLists.Get().(*[]store.NewTask)
		defer releaseTasks(tasks)
		*tasks = slices.Grow(*tasks, len(batch))[:len(batch)]
		return c.enqueue(ctx, batch, *tasks, nil)
	}
	one := pendingInserts.Get().(*pendingInsert)
	refs, err := c.enqueue(ctx, batch, one.task[:], one)
	if err == nil {
		one.release()
	}
	return refs, err
}

// enqueue fills in tasks from the batch and stores them. A single task waits in
// one, which is nil for several.
func (c *Client) enqueue(ctx context.Context, batch []Request, tasks []store.NewTask, one *pendingInsert) ([]TaskRef, error) {
	ids := c.drawIDs(ctx, batch)
	if err := newTasks(ctx, batch, tasks, c.contractID); err != nil {
		return nil, named(batch, err)
	}
	ctx, sent := c.send(ctx, tasks)
	refs, err := c.insert(ctx, batch, tasks, ids, one)
	sent(refs, err)
	if err != nil {
		return nil, named(batch, err)
	}
	c.wakeups.enqueued(tasks)
	return refs, nil
}

// drawIDs has the server draw the ids of a large batch while its tasks are
// filled in, if their first is of the kind that needs them.
func (c *Client) drawIDs(ctx context.Context, batch []Request) *store.IDs {
	var first store.NewTask
	if len(batch) < store.FewestCopied || newTask(&batch[0], "", &first) != nil || !first.Simple() || c.tracing.Baggage(ctx) != "" {
		return nil
	}
	return c.store.DrawIDs(ctx, len(batch))
}

// send starts the span of an enqueue and notes its context in the tasks; sent
// ends it.
func (c *Client) send(ctx context.Context, tasks []store.NewTask) (_ context.Context, sent func([]TaskRef, error)) {
	taskType, queue := tasks[0].Type, tasks[0].Queue
	for i := range tasks {
		if tasks[i].Type != taskType {
			taskType = ""
		}
		if tasks[i].Queue != queue {
			queue = ""
		}
	}
	c.addBaggage(ctx, tasks)
	ctx, span, carrier := c.tracing.Send(ctx, taskType, queue, len(tasks))
	for i := range tasks {
		tasks[i].TraceParent, tasks[i].TraceState = carrier.Parent, carrier.State
	}
	return ctx, func(refs []TaskRef, err error) {
		id := int64(0)
		if len(refs) == 1 {
			id = int64(refs[0].id)
		}
		c.tracing.EndSend(span, id, err)
		if err == nil {
			c.countEnqueued(tasks, refs)
		}
	}
}

// countEnqueued counts what is new, tasks of one type in a row together.
func (c *Client) countEnqueued(tasks []store.NewTask, refs []TaskRef) {
	for from := 0; from < len(refs); {
		n, to := 0, from
		for ; to < len(refs) && tasks[to].Type == tasks[from].Type && tasks[to].Queue == tasks[from].Queue; to++ {
			if !refs[to].existing {
				n++
			}
		}
		if n > 0 {
			c.metrics.Enqueued(tasks[from].Type, tasks[from].Queue, n)
		}
		from = to
	}
}

// insert stores the batch in the way that suits it.
func (c *Client) insert(ctx context.Context, batch []Request, tasks []store.NewTask, ids *store.IDs, one *pendingInsert) (_ []TaskRef, err error) {
	if anyKey(tasks) {
		return c.insertKeyed(ctx, batch, tasks)
	}
	if ctx.Err() != nil {
		return nil, endOf(ctx)
	}
	var rows []store.Inserted
	if one != nil {
		rows, err = c.insertOne(ctx, one)
	} else {
		rows, err = c.store.InsertWith(ctx, tasks, ids)
		err = certain(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	return c.refs(batch, rows)
}

// insertOne joins the group commit, unless nobody else is in it.
func (c *Client) insertOne(ctx context.Context, one *pendingInsert) (rows []store.Inserted, err error) {
	if c.inserts.Alone(func() { rows, err = c.insertAlone(ctx, one.task[:]) }) {
		return rows, err
	}
	c.inserts.Add(one)
	select {
	case err := <-one.done:
		return one.row[:], err
	case <-ctx.Done():
		return nil, outcomeUnknown(ctx)
	}
}

func (c *Client) insertAlone(ctx context.Context, task []store.NewTask) ([]store.Inserted, error) {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	rows, err := c.store.Insert(ctx, task)
	return rows, certain(ctx, err)
}

// certain returns err, and says that the outcome is unknown where ctx has ended
// and the database has not answered.
func certain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || store.SQLState(err) != "" || errors.Is(err, ErrDuplicate) {
		return err
	}
	return fmt.Errorf("%w: %w", outcomeUnknown(ctx), err)
}

// outcomeUnknown says that ctx ended before the answer came. The statement may
// not even have been sent.
func outcomeUnknown(ctx context.Context) error { return fmt.Errorf("outcome unknown: %w", endOf(ctx)) }

// insertKeyed stores a batch with idempotency keys, when its turn comes.
func (c *Client) insertKeyed(ctx context.Context, batch []Request, tasks []store.NewTask) (refs []TaskRef, err error) {
	select {
	case c.keyed <- struct{}{}:
	case <-ctx.Done():
		return nil, endOf(ctx)
	}
	defer func() { <-c.keyed }()
	h, err := c.store.InsertKeyed(ctx, tasks, func(rows []store.Inserted) (err error) {
		refs, err = c.refs(batch, rows)
		return err
	})
	if err != nil {
		return nil, certain(ctx, err)
	}
	c.wakeups.tell(lanesHandedOver(h))
	return refs, nil
}

// insertTimeout bounds one flush of the group commit. Its context is its own,
// unless a task is stored alone: a caller that gives up must not fail the others.
const insertTimeout = 30 * time.Second

// maxBatchBytes bounds the payloads of one INSERT.
const maxBatchBytes = 16 << 20

func (c *Client) flushInserts(batch []*pendingInsert) {
	for len(batch) > 0 {
		n, size := 0, 0
		for n < len(batch) && (n == 0 || size+len(batch[n].task[0].Payload) <= maxBatchBytes) {
			size += len(batch[n].task[0].Payload)
			n++
		}
		c.flushInsert(batch[:n])
		batch = batch[n:]
	}
}

// taskLists are empty slices for tasks on their way to the store, which are used
// again.
var taskLists = sync.Pool{New: func() any { return new([]store.NewTask) }}

func releaseTasks(tasks *[]store.NewTask) {
	clear(*tasks) // let go of what they point to
	*tasks = (*tasks)[:0]
	taskLists.Put(tasks)
}

func (c *Client) flushInsert(batch []*pendingInsert) {
	ctx, cancel := context.WithTimeout(context.Background(), insertTimeout)
	defer cancel()
	tasks := taskLists.Get().(*[]store.NewTask)
	for _, one := range batch {
		*tasks = append(*tasks, one.task[0])
	}
	rows, err := c.store.Insert(ctx, *tasks)
	releaseTasks(tasks)
	switch {
	case err == nil:
		for i, one := range batch {
			one.row[0] = rows[i]
			one.done <- nil
		}
	case store.RowFault(err) && len(batch) > 1:
		// One of them has bad data: each gets its own answer.
		for i := range batch {
			c.flushInsert(batch[i : i+1])
		}
	default:
		for _, one := range batch {
			one.done <- err
		}
	}
}

func anyKey(tasks []store.NewTask) bool {
	for i := range tasks {
		if tasks[i].Key != "" {
			return true
		}
	}
	return false
}

// refs turns rows into references, or into the error that a definition with
// on_duplicate: reject asks for.
func (c *Client) refs(batch []Request, rows []store.Inserted) ([]TaskRef, error) {
	refs, all := make([]TaskRef, len(rows)), make([]taskRef, len(rows))
	for i, row := range rows {
		d := batch[i].Definition
		if row.Existing && d.onDuplicate() == Reject {
			return nil, &DuplicateError{Type: d.Name, ID: TaskID(row.ID)}
		}
		all[i] = taskRef{id: TaskID(row.ID), existing: row.Existing, typeName: d.Name, enqueuedAt: row.EnqueuedAt, source: c}
		refs[i] = TaskRef{&all[i]}
	}
	return refs, nil
}

// newTasks resolves definitions and options into rows.
func newTasks(ctx context.Context, batch []Request, tasks []store.NewTask, contractID func(context.Context, *Definition) (int32, error)) error {
	payloads := payloadsOf(batch)
	for i := range batch {
		n := len(batch[i].Payload)
		if err := newTask(&batch[i], payloads[:n], &tasks[i]); err != nil {
			if len(batch) > 1 {
				err = fmt.Errorf("number %d, %s: %w", i, batch[i].Definition.Name, err)
			}
			return err
		}
		payloads = payloads[n:]
		if i > 0 && batch[i].Definition == batch[i-1].Definition {
			tasks[i].Contract = tasks[i-1].Contract
			continue
		}
		id, err := contractID(ctx, batch[i].Definition)
		if err != nil {
			return err
		}
		tasks[i].Contract = id
	}
	return nil
}

// payloadsOf is all payloads in one: an allocation instead of one a task.
func payloadsOf(batch []Request) string {
	size := 0
	for i := range batch {
		size += len(batch[i].Payload)
	}
	var all strings.Builder
	all.Grow(size)
	for i := range batch {
		all.Write(batch[i].Payload)
	}
	return all.String()
}

func storedOnDuplicate(on OnDuplicate) store.OnDuplicate {
	switch on {
	case Replace:
		return store.Replace
	case Debounce:
		return store.Debounce
	}
	return store.KeepFirst // also for Reject, which is found out by the answer
}

// newTask fills in everything but the contract. The payload is that of r.
func newTask(r *Request, payload string, t *store.NewTask) error {
	d, o := r.Definition, &r.overrides
	if err := checkText(r.Payload); err != nil {
		return err
	}
	*t = store.NewTask{
		Type: d.Name, Queue: d.queueName(), Sublane: d.sublane(), Priority: int16(d.Priority), TTL: d.TTL.Microseconds(), Deadline: d.Deadline.Microseconds(),
		Payload: payload, Key: r.IdempotencyKey, Window: d.window(),
		OnDuplicate: storedOnDuplicate(d.onDuplicate()),
	}
	if err := r.addTurns(t); err != nil {
		return err
	}
	if o.queue != "" {
		t.Queue = o.queue
	}
	if o.priority != nil {
		if *o.priority < -100 || *o.priority > 100 {
			return fmt.Errorf("priority %d: want -100 to 100", *o.priority)
		}
		t.Priority = int16(*o.priority)
	}
	if !o.runAt.IsZero() {
		t.RunAt = o.runAt.UnixMicro()
	}
	t.Delay = max(o.delay, 0).Microseconds()
	if o.ttl != nil {
		t.TTL = o.ttl.Microseconds()
	}
	if o.deadline != nil {
		t.Deadline = max(o.deadline.Microseconds(), 0)
	}
	if o.timeout != nil {
		if t.Timeout = o.timeout.Milliseconds(); t.Timeout <= 0 {
			t.Timeout = -1
		}
	}
	if o.maxAttempts != 0 {
		if o.maxAttempts < 1 || o.maxAttempts > math.MaxInt16 {
			return fmt.Errorf("max attempts %d: want 1 to %d", o.maxAttempts, math.MaxInt16)
		}
		t.MaxAttempts = int16(o.maxAttempts)
	}
	if len(t.Key) > maxKeySize {
		return fmt.Errorf("idempotency key of %d bytes: want at most %d", len(t.Key), maxKeySize)
	}
	if t.Key != "" {
		if err := checkText([]byte(t.Key)); err != nil {
			return fmt.Errorf("idempotency key: %w", err)
		}
	}
	return addMetadata(o.metadata, t)
}

// addTurns says what the task has to wait for: the turn of its group, a slot of
// its limit. Groups and limits are a task type's own.
func (r *Request) addTurns(t *store.NewTask) error {
	d := r.Definition
	if len(d.Group) > 0 && r.GroupKey != "" {
		t.GroupKey = d.Name + r.GroupKey
	}
	switch {
	case d.Concurrency == nil:
	case len(d.Concurrency.By) == 0:
		t.LimitKey = d.Name
	case r.LimitKey != "":
		t.LimitKey = d.Name + r.LimitKey
	}
	for _, key := range []struct{ of, text string }{{"group", t.GroupKey}, {"limit", t.LimitKey}} {
		if len(key.text) > maxKeySize {
			return fmt.Errorf("%s key of %d bytes: want at most %d", key.of, len(key.text), maxKeySize)
		}
	}
	return nil
}

// maxKeySize keeps a key well within what one B-tree entry holds (2,704 bytes).
const maxKeySize = 1024

func addMetadata(metadata map[string]string, t *store.NewTask) error {
	if len(metadata) == 0 {
		return nil
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := checkText(text); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	t.Metadata = string(text)
	return nil
}

// checkText refuses what PostgreSQL would: bytes that are no UTF-8, and NUL,
// plain or as the escape of JSON, which it takes but cannot turn into text.
func checkText(text []byte) error {
	switch {
	case len(text) > MaxPayloadSize:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrPayloadTooLarge, len(text), MaxPayloadSize)
	case !utf8.Valid(text):
		return errors.New("not valid UTF-8")
	case bytes.IndexByte(text, 0) >= 0 || escapedNUL(text):
		return errors.New("holds a NUL character, which PostgreSQL cannot store")
	}
	return nil
}

// escapedNUL finds the escape sequence of NUL, with an odd number of
// backslashes before the u.
func escapedNUL(text []byte) bool {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte(`\u0000`))
		if at < 0 {
			return false
		}
		at += from
		backslashes := 1
		for at-backslashes >= 0 && text[at-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 1 {
			return true
		}
		from = at + 1
	}
}

// named says which task an error of Enqueue is about. A DuplicateError says so
// itself.
func named(batch []Request, err error) error {
	if errors.Is(err, ErrDuplicate) {
		return err
	}
	if len(batch) == 1 {
		return fmt.Errorf("orchestrator: enqueue %s: %w", batch[0].Definition.Name, err)
	}
	return fmt.Errorf("orchestrator: enqueue %d tasks: %w", len(batch), err)
}
