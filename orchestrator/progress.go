package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// Progress is how far a task has come, as its handler says.
type Progress struct {
	Fraction float64   `json:"fraction"` // 0 to 1
	Message  string    `json:"message,omitzero"`
	Attempt  int       `json:"attempt"`     // that said so; 0: none has
	At       time.Time `json:"at,omitzero"` // in database time
}

// maxProgressMessage is what is kept of a message, in bytes.
const maxProgressMessage = 1 << 10

// Progress says how far the attempt has come, as a fraction from 0 to 1, and
// what it is at. `orchestrator tasks show` and [Client.Progress] tell it to
// people.
//
// It does not wait for the database: what is said is written in the background,
// the newest of each task, about twice a second. So it may be called for every
// item of a long list. It returns an error for a fraction that is none, and
// else what has ended ctx, if anything has: then the handler should return.
func (m *Meta) Progress(ctx context.Context, fraction float64, message string) error {
	if !(fraction >= 0 && fraction <= 1) { // NaN is neither
		return fmt.Errorf("orchestrator: progress of task %s: a fraction of %v: want 0 to 1", m.ID, fraction)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if a := m.attempt; a != nil { // else it is a literal in a test
		a.job.w.progress.set(store.Progress{
			Fence: a.job.fence(), Attempt: int16(m.Attempt), Millionths: int32(fraction*1e6 + 0.5), Message: cut(message, maxProgressMessage),
		})
	}
	return nil
}

// Progress says how far a task has come in its last attempt. Its zero value
// says that the handler has not told. The error is [ErrNotFound] when the task
// has ended, or never was.
func (c *Client) Progress(ctx context.Context, id TaskID) (Progress, error) {
	rows, err := c.store.ProgressOf(ctx, []int64{int64(id)})
	if err != nil {
		return Progress{}, err
	}
	if len(rows) == 0 {
		return Progress{}, fmt.Errorf("progress of task %s: %w", id, ErrNotFound)
	}
	return progressOf(rows[0]), nil
}

func progressOf(row store.ProgressRow) Progress {
	if row.Attempt == 0 {
		return Progress{}
	}
	return Progress{Fraction: row.Fraction, Message: row.Message, Attempt: int(row.Attempt), At: row.UpdatedAt.UTC()}
}

// Progress is [Client.Progress] of the task referred to.
func (r TaskRef) Progress(ctx context.Context) (Progress, error) {
	if r.taskRef != nil {
		if source, ok := r.source.(interface {
			Progress(ctx context.Context, id TaskID) (Progress, error)
		}); ok {
			return source.Progress(ctx, r.id)
		}
	}
	return Progress{}, errors.New("orchestrator: this handle was not made by a client and has no progress")
}

// addProgress fills in the progress of those tasks that are live.
func (c *Client) addProgress(ctx context.Context, infos []TaskInfo) error {
	var ids []int64
	for _, info := range infos {
		if info.FinishedAt.IsZero() && !info.ClaimedAt.IsZero() {
			ids = append(ids, int64(info.ID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := c.store.ProgressOf(ctx, ids)
	if err != nil {
		return err
	}
	said := make(map[TaskID]Progress, len(rows))
	for _, row := range rows {
		said[TaskID(row.TaskID)] = progressOf(row)
	}
	for i := range infos {
		infos[i].Progress = said[infos[i].ID]
	}
	return nil
}

const (
	// progressInterval is how often a worker writes progress.
	progressInterval = 500 * time.Millisecond
	progressTimeout  = 5 * time.Second
)

// progressLog writes what the handlers of one worker say, the newest of each
// task. Its goroutine lives while there is something to write.
type progressLog struct {
	w      *Worker
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	said    map[int64]store.Progress // by task
	writing bool
	closed  bool
	ended   sync.WaitGroup
}

func newProgressLog(w *Worker) *progressLog {
	l := &progressLog{w: w, said: map[int64]store.Progress{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *progressLog) set(p store.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.said[p.ID] = p
	if !l.writing {
		l.writing = true
		l.ended.Go(l.write)
	}
}

// close drops what is not written: the tasks it is of have ended.
func (l *progressLog) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.ended.Wait()
}

func (l *progressLog) write() {
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		if err := l.flush(batch); err != nil && l.ctx.Err() == nil {
			l.w.logger.Debug("progress not written; the next will be", "tasks", len(batch), "error", err)
		}
		if waitFor(l.ctx.Done(), progressInterval) {
			return
		}
	}
}

func (l *progressLog) flush(batch []store.Progress) error {
	ctx, cancel := context.WithTimeout(l.ctx, progressTimeout)
	defer cancel()
	return l.w.client.store.SetProgress(ctx, batch)
}

// take returns what there is to write; with nothing, the goroutine ends.
func (l *progressLog) take() []store.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]store.Progress, 0, len(l.said))
	for _, p := range l.said {
		batch = append(batch, p)
	}
	clear(l.said)
	l.writing = len(batch) > 0
	slices.SortFunc(batch, func(a, b store.Progress) int { return cmp.Compare(a.ID, b.ID) })
	return batch
}
