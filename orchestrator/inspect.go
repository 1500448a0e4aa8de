package orchestrator

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// TaskInfo is all that is known of one task, its times in UTC. Its JSON is what
// the CLI prints with --json; the names of its fields stay as they are.
type TaskInfo struct {
	ID       TaskID `json:"id"`
	Type     string `json:"type"`
	State    State  `json:"state"`
	Queue    string `json:"queue"`
	Priority int    `json:"priority"`
	// Attempts is how many attempts were spent, a running one not counted.
	// After a redrive it counts from 0 again.
	Attempts    int `json:"attempts"`
	MaxAttempts int `json:"max_attempts"`

	EnqueuedAt   time.Time `json:"enqueued_at"`
	ScheduledFor time.Time `json:"scheduled_for"`        // run_at as it was enqueued
	RunAt        time.Time `json:"run_at,omitzero"`      // not before; zero when finished or dead
	ExpiresAt    time.Time `json:"expires_at,omitzero"`  // zero without a ttl, or when finished
	DeadlineAt   time.Time `json:"deadline_at,omitzero"` // zero without a deadline, or when finished
	ClaimedAt    time.Time `json:"claimed_at,omitzero"`  // by the last attempt; zero before the first
	FinishedAt   time.Time `json:"finished_at,omitzero"` // or died; zero while live

	Worker      int64             `json:"worker,string,omitzero"` // of the last attempt; 0 before the first and between attempts
	Suspect     bool              `json:"suspect,omitzero"`       // was running in a process that died
	GroupKey    string            `json:"group_key,omitzero"`
	LimitKey    string            `json:"limit_key,omitzero"` // of its concurrency limit; "" without one, or when finished
	TraceParent string            `json:"trace_parent,omitzero"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Progress    Progress          `json:"progress,omitzero"` // of the last attempt, while live
	Payload     json.RawMessage   `json:"payload"`
	Result      json.RawMessage   `json:"result,omitempty"`
	// Errors are those of the newest 25 unsuccessful attempts, oldest first.
	Errors []AttemptError `json:"errors,omitempty"`

	contract int32
}

// LastError is the newest of Errors, or nil.
func (t *TaskInfo) LastError() *AttemptError {
	if len(t.Errors) == 0 {
		return nil
	}
	return &t.Errors[len(t.Errors)-1]
}

// Retries is how many attempts were made after the first, a running one
// included.
func (t *TaskInfo) Retries() int {
	if t.State == Running {
		return t.Attempts
	}
	return max(t.Attempts-1, 0)
}

// AttemptError is what went wrong in one attempt.
type AttemptError struct {
	Attempt int       `json:"attempt"` // 1 is the first
	At      time.Time `json:"at"`
	Code    Code      `json:"code,omitzero"`
	Message string    `json:"message"`
	Stack   string    `json:"stack,omitzero"` // of a panic
	Trace   string    `json:"trace,omitzero"` // traceparent of its span, if that was sampled
}

// TaskFilter chooses tasks. The zero value chooses all. A nil slice leaves its
// field open; one that is empty but not nil chooses nothing, so that a list
// which came out empty never means everything.
type TaskFilter struct {
	States         []State
	IDs            []TaskID
	Types          []string
	Queues         []string
	Codes          []Code    // of the last error
	EnqueuedSince  time.Time // inclusive
	EnqueuedBefore time.Time
	FinishedSince  time.Time // inclusive; finished or died
	FinishedBefore time.Time
}

// inspectPage is how many tasks one statement reads.
const inspectPage = 200

// Tasks goes through the tasks that filter chooses, the newest first. Rows are
// read in pages while the loop runs, without a transaction; a task that moves
// on meanwhile is seen once. The first error ends the loop.
//
// Give States when you can: finished tasks are many, and a filter that names
// only live or dead states never touches them.
func (c *Client) Tasks(ctx context.Context, filter TaskFilter) iter.Seq2[TaskInfo, error] {
	return func(yield func(TaskInfo, error) bool) {
		stored, before := filter.stored(), int64(math.MaxInt64)
		for {
			rows, err := c.store.TasksBefore(ctx, stored, before, inspectPage)
			if !c.yieldTasks(ctx, rows, err, yield) || len(rows) < inspectPage {
				return
			}
			before = rows[len(rows)-1].ID
		}
	}
}

// TaskInfo returns one task, or [ErrNotFound].
func (c *Client) TaskInfo(ctx context.Context, id TaskID) (TaskInfo, error) {
	row, err := c.store.TaskByID(ctx, int64(id))
	if errors.Is(err, sql.ErrNoRows) {
		return TaskInfo{}, fmt.Errorf("task %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return TaskInfo{}, err
	}
	infos, err := c.taskInfos(ctx, []store.TaskRow{row})
	if err != nil {
		return TaskInfo{}, err
	}
	return infos[0], nil
}

// yieldTasks hands a page to the loop and tells whether it wants another.
func (c *Client) yieldTasks(ctx context.Context, rows []store.TaskRow, err error, yield func(TaskInfo, error) bool) bool {
	var infos []TaskInfo
	if err == nil {
		infos, err = c.taskInfos(ctx, rows)
	}
	if err != nil {
		yield(TaskInfo{}, err)
		return false
	}
	for _, info := range infos {
		if !yield(info, nil) {
			return false
		}
	}
	return true
}

func (c *Client) taskInfos(ctx context.Context, rows []store.TaskRow) ([]TaskInfo, error) {
	var contracts []int32
	for _, row := range rows {
		if row.MaxAttempts == 0 && !slices.Contains(contracts, row.Contract) {
			contracts = append(contracts, row.Contract)
		}
	}
	var declared map[int32]int16
	if len(contracts) > 0 {
		var err error
		if declared, err = c.store.MaxAttempts(ctx, contracts); err != nil {
			return nil, err
		}
	}
	infos := make([]TaskInfo, len(rows))
	for i, row := range rows {
		policy := RetryPolicy{MaxAttempts: int(row.MaxAttempts)}
		if row.MaxAttempts == 0 {
			policy.MaxAttempts = int(declared[row.Contract])
		}
		infos[i] = taskInfoOf(row, policy.maxAttempts())
	}
	return infos, c.addProgress(ctx, infos)
}

func taskInfoOf(row store.TaskRow, maxAttempts int) TaskInfo {
	info := TaskInfo{
		ID: TaskID(row.ID), Type: row.TaskType, State: State(row.State), Queue: row.Queue, Priority: int(row.Priority),
		Attempts: int(row.Attempts), MaxAttempts: maxAttempts,
		EnqueuedAt: row.EnqueuedAt.UTC(), ScheduledFor: row.ScheduledFor.UTC(), RunAt: row.RunAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(), DeadlineAt: row.DeadlineAt.UTC(),
		ClaimedAt: row.ClaimedAt.UTC(), FinishedAt: row.FinishedAt.UTC(), Worker: row.WorkerID, Suspect: row.Suspect,
		GroupKey: row.GroupKey, LimitKey: row.LimitKey, TraceParent: row.TraceParent, Payload: row.Payload, Result: row.Result,
		contract: row.Contract,
	}
	// Both were written by the engine itself; what cannot be read is not shown.
	_ = json.Unmarshal(row.Metadata, &info.Metadata)
	_ = json.Unmarshal(row.Errors, &info.Errors)
	for i := range info.Errors {
		info.Errors[i].At = info.Errors[i].At.UTC()
	}
	return info
}

// placeOf says in which table tasks of a state are.
func placeOf(s State) string {
	switch s {
	case Ready, Scheduled, Retrying, Blocked, Throttled, Running:
		return store.PlaceLive
	case Dead:
		return store.PlaceDead
	}
	return store.PlaceFinished
}

func (f TaskFilter) stored() store.TaskFilter {
	stored := store.TaskFilter{
		Types: f.Types, Queues: f.Queues,
		EnqueuedSince: f.EnqueuedSince, EnqueuedBefore: f.EnqueuedBefore,
		FinishedSince: f.FinishedSince, FinishedBefore: f.FinishedBefore,
		States: converted[string](f.States), Codes: converted[string](f.Codes),
	}
	if f.IDs != nil {
		stored.IDs = make([]int64, len(f.IDs))
		for i, id := range f.IDs {
			stored.IDs[i] = int64(id)
		}
	}
	for _, state := range f.States {
		if place := placeOf(state); !slices.Contains(stored.Places, place) {
			stored.Places = append(stored.Places, place)
		}
	}
	return stored
}

// converted keeps nil nil.
func converted[T, S ~string](values []S) []T {
	if values == nil {
		return nil
	}
	texts := make([]T, len(values))
	for i, v := range values {
		texts[i] = T(v)
	}
	return texts
}

// Status is the queues and workers at one moment, in database time. Its JSON
// is what `orchestrator status --json` prints.
type Status struct {
	Now     time.Time      `json:"now"`
	Queues  []QueueStatus  `json:"queues"`
	Workers []WorkerStatus `json:"workers"`
	// What people have changed at run time, and nothing else.
	ChangedQueues []QueueInfo `json:"changed_queues,omitempty"`
	ChangedTypes  []TypeInfo  `json:"changed_types,omitempty"`
}

// QueueStatus counts the tasks of one queue that have not finished. Queues are
// those that have tasks or a worker.
type QueueStatus struct {
	Queue     string `json:"queue"`
	Ready     int64  `json:"ready"`
	Scheduled int64  `json:"scheduled"` // for later, not attempted yet
	Retrying  int64  `json:"retrying"`  // for later, after a failed attempt
	Blocked   int64  `json:"blocked"`   // due, and waiting for their groups' turns
	Throttled int64  `json:"throttled"` // due, and waiting for slots of their concurrency limits
	Running   int64  `json:"running"`
	Dead      int64  `json:"dead"`
	// OldestReady is the age of the ready task that waits longest, 0 for none.
	OldestReady time.Duration `json:"-"`
	Workers     int           `json:"workers"` // alive, that work this queue
}

// MarshalJSON writes OldestReady in seconds.
func (q QueueStatus) MarshalJSON() ([]byte, error) {
	type plain QueueStatus
	return json.Marshal(struct {
		plain
		OldestReady float64 `json:"oldest_ready_seconds"`
	}{plain(q), q.OldestReady.Seconds()})
}

// WorkerStatus is one worker process.
type WorkerStatus struct {
	ID          int64         `json:"id,string"`
	Host        string        `json:"host"`
	PID         int           `json:"pid"`
	Version     string        `json:"version"`
	Queues      []string      `json:"queues"`
	Slots       int           `json:"slots"` // tasks it runs at a time
	Busy        int           `json:"busy"`  // as of its last heartbeat
	Idle        bool          `json:"idle"`  // waits for tasks
	Draining    bool          `json:"draining"`
	Leader      bool          `json:"leader"`
	Alive       bool          `json:"alive"` // its heartbeat is younger than its lease
	StartedAt   time.Time     `json:"started_at"`
	HeartbeatAt time.Time     `json:"heartbeat_at"`
	Lease       time.Duration `json:"-"`
}

// MarshalJSON writes Lease in seconds.
func (w WorkerStatus) MarshalJSON() ([]byte, error) {
	type plain WorkerStatus
	return json.Marshal(struct {
		plain
		Lease float64 `json:"lease_seconds"`
	}{plain(w), w.Lease.Seconds()})
}

// Status counts live tasks and dead letters by queue, and lists the workers.
// It reads both tables whole, so ask it every few seconds, not at every click.
func (c *Client) Status(ctx context.Context) (Status, error) {
	overview, err := c.store.Overview(ctx)
	if err != nil {
		return Status{}, err
	}
	status := Status{Now: overview.Now.UTC(), Queues: []QueueStatus{}, Workers: []WorkerStatus{}}
	for _, row := range overview.Queues {
		q := QueueStatus{
			Queue: row.Queue, Ready: row.Ready, Scheduled: row.Scheduled, Retrying: row.Retrying,
			Blocked: row.Blocked, Throttled: row.Throttled, Running: row.Running, Dead: row.Dead,
		}
		if !row.OldestReady.IsZero() {
			q.OldestReady = overview.Now.Sub(row.OldestReady)
		}
		status.Queues = append(status.Queues, q)
	}
	// In Go's order, whatever the database's collation says.
	slices.SortFunc(status.Queues, func(a, b QueueStatus) int { return strings.Compare(a.Queue, b.Queue) })
	for _, row := range overview.Workers {
		w := WorkerStatus{
			ID: row.ID, Host: row.Host, PID: row.PID, Version: row.Version, Queues: row.Queues, Slots: row.Slots, Busy: row.Busy,
			Idle: row.Idle, Draining: row.Draining, Leader: row.Leader, Alive: row.Alive,
			StartedAt: row.StartedAt.UTC(), HeartbeatAt: row.HeartbeatAt.UTC(), Lease: time.Duration(row.Lease * float64(time.Second)),
		}
		status.Workers = append(status.Workers, w)
		if w.Alive {
			status.addWorker(w)
		}
	}
	return status, c.addChanges(ctx, &status)
}

func (c *Client) addChanges(ctx context.Context, s *Status) error {
	queues, err := c.Queues(ctx)
	if err != nil {
		return err
	}
	types, err := c.Types(ctx)
	if err != nil {
		return err
	}
	s.ChangedQueues = slices.DeleteFunc(queues, func(q QueueInfo) bool { return q.PausedAt.IsZero() && !q.Changed })
	s.ChangedTypes = slices.DeleteFunc(types, func(t TypeInfo) bool { return t.PausedAt.IsZero() && t.Policy == nil })
	return nil
}

// FinishedCounts counts the finished tasks that are still kept, by state.
type FinishedCounts struct {
	Succeeded int64 `json:"succeeded"`
	Cancelled int64 `json:"cancelled"`
	Expired   int64 `json:"expired"`
	Estimated bool  `json:"estimated"` // from a sample, since there are many
}

// CountFinished counts history. What is small it counts one by one; of more
// than 40 MB it reads a sample, so that the answer takes about as long whatever
// is kept.
func (c *Client) CountFinished(ctx context.Context) (FinishedCounts, error) {
	n, err := c.store.CountFinished(ctx)
	return FinishedCounts(n), err
}

// addWorker counts a worker with the queues it works, keeping them sorted.
func (s *Status) addWorker(w WorkerStatus) {
	for _, name := range w.Queues {
		at, found := slices.BinarySearchFunc(s.Queues, name, func(q QueueStatus, name string) int {
			return strings.Compare(q.Queue, name)
		})
		if !found {
			s.Queues = slices.Insert(s.Queues, at, QueueStatus{Queue: name})
		}
		s.Queues[at].Workers++
	}
}
