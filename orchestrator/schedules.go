package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// ScheduleState is how a schedule stands.
type ScheduleState string

// The states of a schedule. One that nobody declares may be paused as well.
const (
	ScheduleActive     ScheduleState = "active"
	SchedulePaused     ScheduleState = "paused"
	ScheduleUndeclared ScheduleState = "undeclared" // a spec declared it, and no live worker has that spec
)

// ScheduleInfo is all that is known of one schedule, its times in UTC. Its JSON
// is what the CLI prints with --json; the names of its fields stay as they are.
type ScheduleInfo struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"` // of its tasks
	State    ScheduleState   `json:"state"`
	Declared bool            `json:"declared"` // by a spec; else it is dynamic
	Cron     string          `json:"cron"`
	Timezone string          `json:"timezone"`
	Missed   string          `json:"missed"`
	Overlap  string          `json:"overlap"`
	Payload  json.RawMessage `json:"payload"`

	NextAt    time.Time `json:"next_at,omitzero"`   // zero unless active
	LastAt    time.Time `json:"last_at,omitzero"`   // the due time that was enqueued last
	LastTask  TaskID    `json:"last_task,omitzero"` // the task enqueued last, by a due time or by hand
	PausedAt  time.Time `json:"paused_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"` // when somebody, or a deploy, changed it

	contract int32
}

func scheduleInfoOf(s *store.Schedule) ScheduleInfo {
	info := ScheduleInfo{
		Name: s.Name, Type: s.TaskType, State: ScheduleActive, Declared: s.Declared, Cron: s.Cron, Timezone: s.Timezone,
		Missed: s.Missed, Overlap: s.Overlap, Payload: json.RawMessage(s.Payload),
		NextAt: s.NextAt.UTC(), LastAt: s.LastAt.UTC(), LastTask: TaskID(s.LastTaskID),
		PausedAt: s.PausedAt.UTC(), CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), contract: s.Contract,
	}
	switch {
	case !s.UndeclaredAt.IsZero():
		info.State = ScheduleUndeclared
	case !s.PausedAt.IsZero():
		info.State = SchedulePaused
	}
	if info.State != ScheduleActive {
		info.NextAt = time.Time{}
	}
	return info
}

// ErrUnknownSchedule says that there is no schedule of that name.
var ErrUnknownSchedule = errors.New("orchestrator: unknown schedule")

// UnknownScheduleError says that there is no schedule of that name.
type UnknownScheduleError struct {
	Name string
	Near []string // schedules with similar names, nearest first
	None bool     // there is no schedule at all
}

func (e *UnknownScheduleError) Error() string {
	switch {
	case e.None:
		return "orchestrator: schedule " + e.Name + ": there are no schedules; those of a spec are there when a worker has started that handles their tasks"
	case len(e.Near) > 0:
		return "orchestrator: schedule " + e.Name + ": there is none of that name; did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return "orchestrator: schedule " + e.Name + ": there is none of that name"
}

// Is matches [ErrUnknownSchedule].
func (e *UnknownScheduleError) Is(target error) bool { return target == ErrUnknownSchedule }

// ErrDeclaredSchedule says that a schedule is a spec's: it is changed and removed there.
var ErrDeclaredSchedule = errors.New("a spec declares it")

// Schedules returns all schedules by name, those that specs declare and the
// dynamic ones.
func (c *Client) Schedules(ctx context.Context) ([]ScheduleInfo, error) {
	all, err := c.store.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]ScheduleInfo, len(all))
	for i := range all {
		infos[i] = scheduleInfoOf(&all[i])
	}
	return infos, nil
}

// ScheduleInfo returns one schedule, or an [*UnknownScheduleError].
func (c *Client) ScheduleInfo(ctx context.Context, name string) (ScheduleInfo, error) {
	one, err := c.store.ScheduleByName(ctx, name)
	if errors.Is(err, store.ErrNoSchedule) {
		return ScheduleInfo{}, c.unknownSchedule(ctx, name)
	}
	if err != nil {
		return ScheduleInfo{}, err
	}
	return scheduleInfoOf(&one), nil
}

func (c *Client) unknownSchedule(ctx context.Context, name string) error {
	all, err := c.store.Schedules(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return &UnknownScheduleError{Name: name, Near: nearest.Names(name, names, 3), None: len(all) == 0}
}

// RedactedSchedule returns the schedule with "[redacted]" in place of what its
// task's spec declares sensitive in the payload.
func (c *Client) RedactedSchedule(ctx context.Context, s ScheduleInfo) (ScheduleInfo, error) {
	secrets, err := c.rawContracts.secrets.of(ctx, c, s.contract)
	if err == nil {
		s.Payload, err = secrets.payload.redact(s.Payload)
	}
	if err != nil {
		return ScheduleInfo{}, fmt.Errorf("orchestrator: redact schedule %s: %w", s.Name, err)
	}
	return s, nil
}

// PutSchedule creates a dynamic schedule, or changes it when it is there. Its
// next due time moves only when Cron or Timezone changes, and a pause stays; so
// a program may put its schedules whenever it starts. The error for a schedule
// that a spec declares is [ErrDeclaredSchedule].
func (c *Client) PutSchedule(ctx context.Context, s Schedule) (ScheduleInfo, error) {
	spec, err := c.scheduleSpec(ctx, s)
	if err != nil {
		return ScheduleInfo{}, fmt.Errorf("orchestrator: schedule %s: %w", s.Name, err)
	}
	return c.putSchedule(ctx, spec)
}

// PutScheduleRaw is [Client.PutSchedule] by the name of a task type, without
// generated code; s.Task is not looked at. The payload is checked as
// [Client.EnqueueRaw] does, and its tasks are of the newest contract from then
// on: put the schedule again to move it to a newer one.
func (c *Client) PutScheduleRaw(ctx context.Context, taskType string, s Schedule) (ScheduleInfo, error) {
	failed := func(err error) (ScheduleInfo, error) {
		return ScheduleInfo{}, fmt.Errorf("orchestrator: schedule %s of %s: %w", s.Name, taskType, err)
	}
	stored, err := c.store.NewestContract(ctx, taskType)
	if errors.Is(err, store.ErrNoContract) {
		err = c.unknownTask(ctx, taskType)
	}
	if err != nil {
		return failed(err)
	}
	contract, err := c.rawContracts.get(c, stored)
	if err != nil {
		return failed(err)
	}
	spec, err := scheduleSpecOf(s, stored.ID, contract)
	if err != nil {
		return failed(err)
	}
	return c.putSchedule(ctx, spec)
}

func (c *Client) putSchedule(ctx context.Context, spec store.ScheduleSpec) (info ScheduleInfo, err error) {
	timetable, err := newTimetable(spec.Cron, spec.Timezone)
	if err != nil {
		return info, err
	}
	err = c.store.ChangeSchedule(ctx, spec.Name, func(there *store.Schedule, now time.Time, tx *store.ScheduleTx) error {
		next := timetable.next(now)
		switch {
		case there == nil:
		case there.Declared && there.UndeclaredAt.IsZero():
			return fmt.Errorf("orchestrator: schedule %s: %w: change it in tasks.yaml and deploy that", spec.Name, ErrDeclaredSchedule)
		case !there.Declared && there.ScheduleSpec == spec:
			return nil
		case !there.Declared && there.Cron == spec.Cron && there.Timezone == spec.Timezone && !there.NextAt.IsZero():
			next = there.NextAt
		}
		return tx.Put(ctx, store.Schedule{ScheduleSpec: spec, NextAt: next})
	})
	if err != nil {
		return info, err
	}
	return c.ScheduleInfo(ctx, spec.Name)
}

// changeSchedule is for schedules that are there.
func (c *Client) changeSchedule(ctx context.Context, name string, change func(*store.Schedule, time.Time, *store.ScheduleTx) error) error {
	unknown := false
	err := c.store.ChangeSchedule(ctx, name, func(there *store.Schedule, now time.Time, tx *store.ScheduleTx) error {
		if unknown = there == nil; unknown {
			return nil
		}
		return change(there, now, tx)
	})
	if unknown && err == nil {
		return c.unknownSchedule(ctx, name)
	}
	return err
}

// PauseSchedule lets a schedule rest until somebody resumes it, whatever is
// deployed meanwhile. What it has enqueued goes on. Pausing it again changes nothing.
func (c *Client) PauseSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(there *store.Schedule, _ time.Time, tx *store.ScheduleTx) error {
		if !there.PausedAt.IsZero() {
			return nil
		}
		return tx.Pause(ctx)
	})
}

// ResumeSchedule lets a paused schedule go on with the first due time from now
// on. Those that passed during the pause are skipped, whatever it says of missed ones.
func (c *Client) ResumeSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(there *store.Schedule, now time.Time, tx *store.ScheduleTx) error {
		if there.PausedAt.IsZero() {
			return nil
		}
		timetable, err := newTimetable(there.Cron, there.Timezone)
		if err != nil {
			return fmt.Errorf("orchestrator: schedule %s: %w", name, err)
		}
		return tx.Resume(ctx, timetable.next(now))
	})
}

// DeleteSchedule deletes a dynamic schedule, or one that no live worker declares
// any more; what it has enqueued stays. The error for a schedule that a spec
// declares is [ErrDeclaredSchedule].
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(there *store.Schedule, _ time.Time, tx *store.ScheduleTx) error {
		if there.Declared && there.UndeclaredAt.IsZero() {
			return fmt.Errorf("orchestrator: schedule %s: %w: remove it from tasks.yaml and deploy that, or pause it", name, ErrDeclaredSchedule)
		}
		return tx.Delete(ctx)
	})
}

// TriggerSchedule enqueues a task of a schedule now, also of one that is paused
// or whose last task is live. The next due time does not move; with overlap
// skip, it finds this task if that is still live.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (TaskRef, error) {
	var ref TaskRef
	var tasks []store.NewTask
	err := c.changeSchedule(ctx, name, func(there *store.Schedule, _ time.Time, tx *store.ScheduleTx) error {
		stored, err := tx.Contract(ctx, there)
		if err != nil {
			return err
		}
		task, err := c.scheduledTask(there, stored)
		if err != nil {
			return fmt.Errorf("orchestrator: schedule %s: %w", name, err)
		}
		tasks = []store.NewTask{task}
		sendCtx, sent := c.send(ctx, tasks)
		inserted, err := tx.Trigger(sendCtx, tasks[0])
		if err != nil {
			sent(nil, err)
			return err
		}
		ref = TaskRef{&taskRef{id: TaskID(inserted.ID), typeName: task.Type, enqueuedAt: inserted.EnqueuedAt, source: c}}
		sent([]TaskRef{ref}, nil)
		return nil
	})
	if err != nil {
		return TaskRef{}, err
	}
	c.wakeups.enqueued(tasks)
	return ref, nil
}

// maxNextRuns bounds [Client.NextRuns].
const maxNextRuns = 1000

// NextRuns returns the next n due times of a schedule, in UTC; those that it
// would have from now on when it is not active.
func (c *Client) NextRuns(ctx context.Context, name string, n int) ([]time.Time, error) {
	if n < 1 || n > maxNextRuns {
		return nil, fmt.Errorf("orchestrator: the next %d due times: want 1 to %d", n, maxNextRuns)
	}
	info, err := c.ScheduleInfo(ctx, name)
	if err != nil {
		return nil, err
	}
	timetable, err := newTimetable(info.Cron, info.Timezone)
	if err != nil {
		return nil, fmt.Errorf("orchestrator: schedule %s: %w", name, err)
	}
	next := info.NextAt
	if next.IsZero() {
		now, err := c.store.Now(ctx)
		if err != nil {
			return nil, err
		}
		next = timetable.next(now)
	}
	var runs []time.Time
	for ; len(runs) < n && !next.IsZero(); next = timetable.next(next) {
		runs = append(runs, next.UTC())
	}
	return runs, nil
}
