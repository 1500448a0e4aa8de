package orchestrator

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/groupcommit"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/telemetry"
)

// outcome is what becomes of a job; exactly one of the pointers is set.
type outcome struct {
	job      *job
	finished *store.Finished
	buried   *store.Buried
	returned *store.Returned
}

// tells says whether a webhook is to be told of the outcome.
func (o outcome) tells() bool {
	switch {
	case o.finished != nil:
		return o.job.route.definition.tells(stateOf(o.finished.State))
	case o.buried != nil:
		return o.job.route.definition.tells(Dead)
	}
	return false
}

// finisher writes outcomes in batches: what ends while one batch is written
// goes into the next.
type finisher struct {
	w     *Worker
	plain *groupcommit.Group[outcome]
	// turns is for the outcomes of tasks that have a turn or a slot. A statement
	// that hands those over also claims, so where tasks without turns keep two
	// connections busy, one that claims and one that ends, one at a time would
	// keep one busy.
	turns  *groupcommit.Group[outcome]
	ctx    context.Context
	cancel context.CancelFunc
	// stragglers are rows that a statement left out. They are looked after
	// beside the group: a row that somebody keeps locked must not hold up
	// everything else that ends.
	stragglers sync.WaitGroup
	unfloored  atomic.Int64 // when the next of a group was last looked for from the beginning, in nanoseconds
}

func newFinisher(w *Worker) *finisher {
	f := &finisher{w: w}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.plain = groupcommit.New(func(batch []outcome) { f.flush(batch, f.statements()) })
	f.turns = groupcommit.NewParallel(2, func(batch []outcome) { f.flush(batch, f.turnStatements()) })
	return f
}

// add takes an outcome and returns before it is written.
func (f *finisher) add(o outcome) {
	if o.job.handsOver() {
		f.turns.Add(o)
	} else {
		f.plain.Add(o)
	}
}

// giveBack returns a job that did not run, or was cancelled by a shutdown,
// without spending an attempt.
func (f *finisher) giveBack(j *job) { f.add(giveBack(j)) }

func giveBack(j *job) outcome {
	return outcome{job: j, returned: &store.Returned{Fence: j.fence(), Attempts: j.Attempts, Sublane: j.sublane()}}
}

// closeTimeout bounds how long a stopping worker waits for a database that
// does not take its outcomes; their tasks will be recovered and run again.
const closeTimeout = 15 * time.Second

// close writes what is left.
func (f *finisher) close() {
	timer := time.AfterFunc(closeTimeout, f.cancel)
	f.turns.Wait()
	f.plain.Wait()
	f.stragglers.Wait()
	timer.Stop()
	f.cancel()
}

// statements write the outcomes of a batch, a kind each.
type statements struct{ finish, bury, giveBack statement }

// statements are for tasks without a turn or a slot.
func (f *finisher) statements() statements {
	st := f.w.client.store
	return statements{
		finish: func(ctx context.Context, part []outcome) ([]int64, error) {
			return st.Finish(ctx, f.finishedRows(part))
		},
		bury: func(ctx context.Context, part []outcome) ([]int64, error) { return st.Bury(ctx, f.buriedRows(part)) },
		giveBack: func(ctx context.Context, part []outcome) ([]int64, error) {
			return st.Return(ctx, f.returnedRows(part))
		},
	}
}

// turnStatements also hand the turns and slots over.
func (f *finisher) turnStatements() statements {
	st := f.w.client.store
	return statements{
		finish: f.handing(func(ctx context.Context, part []outcome, taker store.Taker) (store.Handed, error) {
			return st.FinishTurns(ctx, f.finishedRows(part), taker)
		}),
		bury: f.buryTurns(),
		giveBack: f.handing(func(ctx context.Context, part []outcome, taker store.Taker) (store.Handed, error) {
			return st.ReturnTurns(ctx, f.returnedRows(part), taker)
		}),
	}
}

func (f *finisher) flush(batch []outcome, st statements) {
	began := time.Now()
	defer func() { f.w.client.metrics.Finished(len(batch), time.Since(began)) }()
	// The statements lock rows in the order in which they come.
	slices.SortFunc(batch, func(a, b outcome) int { return int(a.job.ID - b.job.ID) })
	finished, others := split(batch, func(o outcome) bool { return o.finished != nil })
	buried, returned := split(others, func(o outcome) bool { return o.buried != nil })
	soonest := soonestRetry(returned) // now: write takes its batch apart
	tells := slices.ContainsFunc(batch, (outcome).tells)
	f.write(finished, st.finish)
	f.write(buried, st.bury)
	for part := range slices.Chunk(returned, store.ReturnChunk) {
		f.write(part, st.giveBack)
	}
	f.w.client.results.finished()
	if tells {
		f.w.client.wakeups.enqueued([]store.NewTask{{Queue: WebhookQueue}})
	}
	if len(returned) > 0 {
		f.w.claimer.wakeAfter(soonest)
	}
}

// split separates the outcomes that are of one kind from the rest. Mostly all
// are, or none is, and then it needs no memory.
func split(batch []outcome, isOf func(outcome) bool) (of, rest []outcome) {
	first := slices.IndexFunc(batch, isOf)
	if first < 0 {
		return nil, batch
	}
	other := slices.IndexFunc(batch, func(o outcome) bool { return !isOf(o) })
	if other < 0 {
		return batch, nil
	}
	for _, o := range batch {
		if isOf(o) {
			of = append(of, o)
		} else {
			rest = append(rest, o)
		}
	}
	return of, rest
}

func (f *finisher) buryTurns() statement {
	return f.handing(func(ctx context.Context, part []outcome, taker store.Taker) (store.Handed, error) {
		return f.w.client.store.BuryTurns(ctx, f.buriedRows(part), taker)
	})
}

func (f *finisher) finishedRows(part []outcome) []*store.Finished {
	rows := make([]*store.Finished, len(part))
	for i, o := range part {
		rows[i] = o.finished
		rows[i].Turn, rows[i].Tell = f.w.turn(o.job), o.tells()
	}
	return rows
}

func (f *finisher) buriedRows(part []outcome) []store.Buried {
	rows := make([]store.Buried, len(part))
	for i, o := range part {
		rows[i] = *o.buried
		rows[i].Turn, rows[i].Block = f.w.turn(o.job), o.job.route.definition.blocks()
		rows[i].Tell = o.tells()
	}
	return rows
}

func (f *finisher) returnedRows(part []outcome) []store.Returned {
	rows := make([]store.Returned, len(part))
	for i, o := range part {
		rows[i] = *o.returned
		rows[i].Turn = f.w.turn(o.job)
	}
	return rows
}

// soonestRetry is when the claimer should look for a retry of this worker.
func soonestRetry(returned []outcome) time.Duration {
	soonest := time.Duration(math.MaxInt64)
	for _, o := range returned {
		soonest = min(soonest, o.returned.Delay)
	}
	return soonest
}

// statement writes part of a batch and returns the ids that it changed.
type statement func(ctx context.Context, part []outcome) (ids []int64, err error)

// write runs statement until the whole batch, which it may take apart, is
// written or lost. A batch with a row that PostgreSQL refuses is halved until
// that row is alone, and one that takes longer than it may until it does not;
// other failures are tried again for as long as the lease holds.
func (f *finisher) write(batch []outcome, run statement) {
	for pause := 20 * time.Millisecond; len(batch) > 0; pause = min(2*pause, time.Second) {
		ids, err := f.try(batch, run)
		switch {
		case err == nil:
			f.check(batch, ids, run)
			return
		case store.NoPartition(err):
			if err := f.addHistoryDays(retentionsOf(batch)...); err != nil {
				f.w.logger.Warn("history has no partition for what has finished and none could be made; trying again", "error", err)
			}
		case len(batch) > 1 && (store.RowFault(err) || store.TookTooLong(err)):
			f.write(batch[:len(batch)/2], run)
			f.write(batch[len(batch)/2:], run)
			return
		case store.RowFault(err):
			f.refused(batch[0], err)
			return
		default:
			f.w.logger.Warn("outcomes not written; trying again", "tasks", len(batch), "error", err)
		}
		batch = slices.DeleteFunc(batch, func(o outcome) bool { return o.job.session.lost() })
		if waitFor(f.ctx.Done(), pause) {
			f.w.logger.Error("outcomes not written; their tasks will run again", "tasks", len(batch), "error", err)
			return
		}
	}
}

// finishTimeout bounds one statement: no answer may also mean that the
// connection is dead without a word, and then another one is better.
const finishTimeout = 10 * time.Second

func (f *finisher) try(batch []outcome, run statement) ([]int64, error) {
	ctx, cancel := context.WithTimeout(f.ctx, finishTimeout)
	defer cancel()
	return run(ctx, batch)
}

// ask puts a question about an outcome's fence.
func (f *finisher) ask(question func(context.Context, store.Fence) (bool, error), o outcome) (bool, error) {
	ctx, cancel := context.WithTimeout(f.ctx, finishTimeout)
	defer cancel()
	return question(ctx, o.job.fence())
}

func (f *finisher) addHistoryDays(kept ...time.Duration) error {
	ctx, cancel := context.WithTimeout(f.ctx, finishTimeout)
	defer cancel()
	return f.w.client.store.AddHistoryDays(ctx, kept...)
}

// retentionsOf are the retentions of a batch, each once. A contract's row has
// that of the worker which started last, not of each.
func retentionsOf(batch []outcome) (kept []time.Duration) {
	for _, o := range batch {
		if o.finished != nil && !slices.Contains(kept, o.finished.Kept) {
			kept = append(kept, o.finished.Kept)
		}
	}
	return kept
}

// check looks after the rows that the statement left out: somebody else had
// them locked, or they were written by a try whose answer was lost, or the
// lease is lost.
func (f *finisher) check(batch []outcome, ids []int64, run statement) {
	left := countWritten(batch, ids)
	if len(left) == 0 {
		return
	}
	f.stragglers.Go(func() {
		for _, o := range f.retryTogether(left, run) {
			f.retryAlone(o, run)
		}
		f.w.client.results.finished()
	})
}

// countWritten counts the outcomes of a batch whose ids are said to be written
// and returns the others.
func countWritten(batch []outcome, ids []int64) (left []outcome) {
	if len(ids) == len(batch) {
		for i := range batch {
			batch[i].count()
		}
		return nil
	}
	written := make(map[int64]bool, len(ids))
	for _, id := range ids {
		written[id] = true
	}
	for i, o := range batch {
		if written[o.job.ID] {
			batch[i].count()
		} else {
			left = append(left, o)
		}
	}
	return left
}

// retryTogether tries rows that were locked for as long as that helps some of
// them, and returns the rest. Who locks many does so in one statement, which is
// over soon: a cancel, say, or a claim of an earlier build.
func (f *finisher) retryTogether(left []outcome, run statement) []outcome {
	for pause := 5 * time.Millisecond; len(left) > 1 && pause < time.Second; pause *= 2 {
		if waitFor(f.ctx.Done(), pause) {
			return left
		}
		ids, err := f.try(left, run)
		if err != nil {
			return left
		}
		left = countWritten(left, ids)
	}
	return left
}

func (f *finisher) retryAlone(o outcome, run statement) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ids, err := f.try([]outcome{o}, run)
		if err == nil && len(ids) == 1 {
			o.count()
			return
		}
		held, holdErr := f.ask(f.w.client.store.Holds, o)
		if holdErr == nil && !held {
			break
		}
		if err = errors.Join(err, holdErr); store.RowFault(err) {
			f.refused(o, err)
			return
		}
		if waitFor(f.ctx.Done(), pause) {
			f.w.logger.Error("outcome not written; the task will run again", "task", o.job.ID, "error", err)
			return
		}
	}
	if o.returned != nil && o.returned.Error == "" {
		return // only to be given back, and somebody has it
	}
	done, err := f.ask(f.w.client.store.FinishedBy, o)
	if err != nil || !done {
		f.w.logger.Warn("completion not accepted", "task", o.job.ID, "type", o.job.route.definition.Name,
			"worker", o.job.session.id, "error", errors.Join(ErrLeaseLost, err))
		return
	}
	o.count() // by a try whose answer was lost
}

// count counts a task whose end the database has accepted.
func (o *outcome) count() {
	switch {
	case o.buried != nil:
		o.job.metrics.Finished(telemetry.Dead)
	case o.finished != nil:
		o.job.metrics.Finished(string(stateOf(o.finished.State)))
	}
}

// refused is an outcome that PostgreSQL does not take, whatever it is tried
// with. The task must not be lost or run for ever: it is buried with the
// reason, in words that are sure to be taken.
func (f *finisher) refused(o outcome, reason error) {
	f.w.logger.Error("outcome refused by the database", "task", o.job.ID, "type", o.job.route.definition.Name, "error", reason)
	if o.buried != nil {
		return // tried already; recovery will have it
	}
	code := "outcome_refused"
	text := errorJSON(attemptError{Attempt: int(o.job.Attempts) + 1, Code: code, Message: "SQLSTATE " + store.SQLState(reason)})
	f.write([]outcome{{job: o.job, buried: &store.Buried{Fence: o.job.fence(), Attempts: o.job.Attempts + 1, Error: text, Code: code}}},
		f.buryTurns())
}
