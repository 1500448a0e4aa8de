package orchestrator

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

const (
	// schedulePoll is how often the leader looks for schedules that have
	// changed. What it knows to be due it wakes up for.
	schedulePoll = time.Second
	// missedGrace is how late a due time is still on time, beside LEADER_TERM:
	// a change of leader makes nothing missed.
	missedGrace = time.Minute
	// What one transaction enqueues at most, and of how many schedules.
	fireTasks     = 1_000
	fireSchedules = 500
	// brokenPause is how long a schedule is left alone that cannot be fired.
	brokenPause = time.Minute
)

// scheduler enqueues the tasks of schedules while its worker leads.
//
// A declared schedule is in force while a live worker declares it, in the newest
// version that one does. Versions are numbered as the database first sees them,
// so an old worker that restarts in the middle of a deploy changes nothing, and
// after a rollback the old version is in force when the last new worker is gone.
type scheduler struct {
	w *Worker
	// applied is what live workers declared when that was last applied under
	// epoch; nil for never.
	applied []int32
	epoch   int64
	// broken are schedules that could not be fired, by when to try again.
	broken map[string]time.Time
}

func newScheduler(w *Worker) *scheduler { return &scheduler{w: w, broken: map[string]time.Time{}} }

// run fires schedules until ctx ends.
func (s *scheduler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(s.turn(ctx))
	}
}

// turn does what is due and says when to come again.
func (s *scheduler) turn(ctx context.Context) time.Duration {
	poll := min(schedulePoll, s.w.config.ClaimInterval)
	leadership := s.w.leading.Load()
	if leadership == nil {
		s.applied = nil
		return poll
	}
	var clock store.ScheduleClock
	err := s.w.within(ctx, func(ctx context.Context) (err error) {
		clock, err = s.w.client.store.ScheduleClock(ctx, s.resting())
		return err
	})
	if err != nil {
		s.w.failedDuty(ctx, err)
		return poll
	}
	if s.applied == nil || s.epoch != leadership.Epoch || !slices.Equal(s.applied, clock.Declared) {
		if !s.apply(ctx, *leadership) {
			return poll
		}
		s.applied, s.epoch = append([]int32{}, clock.Declared...), leadership.Epoch
		return 0
	}
	switch {
	case clock.Next.IsZero():
		return poll
	case clock.Next.After(clock.Now):
		return min(poll, clock.Next.Sub(clock.Now))
	case s.fire(ctx, *leadership):
		return 0
	}
	return poll
}

func (s *scheduler) apply(ctx context.Context, leadership store.Leadership) (done bool) {
	err := s.w.within(ctx, func(ctx context.Context) (err error) {
		done, err = s.w.client.store.ApplyDeclarations(ctx, leadership, s.declare)
		return err
	})
	if err != nil {
		s.w.failedDuty(ctx, err)
	}
	return done && err == nil
}

// resting are the names of the broken schedules, never nil.
func (s *scheduler) resting() []string {
	maps.DeleteFunc(s.broken, func(_ string, until time.Time) bool { return time.Now().After(until) })
	return slices.AppendSeq(make([]string, 0, len(s.broken)), maps.Keys(s.broken))
}

func (s *scheduler) breaks(name string, err error) {
	s.w.logger.Error("schedule cannot be fired; it is tried again in a minute", "schedule", name, "error", err)
	s.broken[name] = time.Now().Add(brokenPause)
}

// declare says what the schedules that live workers declare make of those there
// are. A pause stays, and so does the next due time unless the expression or the
// time zone changes: what passed while nobody declared a schedule was missed.
func (s *scheduler) declare(declared []store.ScheduleSpec, there []store.Schedule, now time.Time) store.Declarations {
	var changes store.Declarations
	byName := map[string]store.Schedule{}
	for _, one := range there {
		byName[one.Name] = one
	}
	for _, spec := range declared {
		old, known := byName[spec.Name]
		delete(byName, spec.Name)
		if known && old.Declared && old.UndeclaredAt.IsZero() && old.ScheduleSpec == spec {
			continue
		}
		timetable, err := newTimetable(spec.Cron, spec.Timezone)
		if err != nil {
			s.breaks(spec.Name, err)
			continue
		}
		next := old.NextAt
		if !known || next.IsZero() || old.Cron != spec.Cron || old.Timezone != spec.Timezone {
			next = timetable.next(now)
		}
		if known && !old.Declared {
			s.w.logger.Warn("a spec declares a schedule that was there as a dynamic one; the spec's is in force", "schedule", spec.Name)
		}
		changes.Put = append(changes.Put, store.Schedule{ScheduleSpec: spec, Declared: true, NextAt: next})
		s.w.logger.Info("schedule declared", "schedule", spec.Name, "cron", spec.Cron, "timezone", spec.Timezone, "next", next.UTC())
	}
	for name, old := range byName {
		if old.Declared && old.UndeclaredAt.IsZero() {
			changes.Undeclared = append(changes.Undeclared, name)
			s.w.logger.Info("schedule rests: no live worker declares it", "schedule", name)
		}
	}
	return changes
}

// fired is what one turn has made of one schedule.
type fired struct {
	label string
	dueTimes
	now   time.Time
	tasks []store.NewTask
	sent  func([]TaskRef, error)
}

// fire enqueues the tasks of schedules that are due. It returns false when it
// came to nothing: somebody else leads, or changes them.
func (s *scheduler) fire(ctx context.Context, leadership store.Leadership) bool {
	c := s.w.client
	var all []fired
	came, room, bytes := false, fireTasks, maxBatchBytes
	var ids []int64
	err := s.w.within(ctx, func(ctx context.Context) (err error) {
		ids, err = c.store.FireSchedules(ctx, leadership, s.resting(), fireSchedules,
			func(schedule store.Schedule, contract store.Contract, now time.Time) (store.Firing, bool) {
				if room <= 0 || bytes <= 0 {
					return store.Firing{}, false // at the next turn
				}
				came = true
				one, err := s.decide(&schedule, contract, now, min(room, 1+bytes/max(1, len(schedule.Payload))))
				if err != nil {
					s.breaks(schedule.Name, err)
					return store.Firing{}, false
				}
				room -= len(one.tasks)
				bytes -= len(one.tasks) * len(schedule.Payload)
				all = append(all, one)
				firing := store.Firing{Tasks: one.tasks, NextAt: one.next}
				if len(one.fire) > 0 {
					firing.LastAt = one.fire[len(one.fire)-1]
				}
				return firing, true
			})
		return err
	})
	s.report(all, ids, err)
	if err != nil {
		s.w.failedDuty(ctx, err)
		return false
	}
	return came
}

// decide makes the tasks of one schedule.
func (s *scheduler) decide(schedule *store.Schedule, contract store.Contract, now time.Time, room int) (fired, error) {
	timetable, err := newTimetable(schedule.Cron, schedule.Timezone)
	if err != nil {
		return fired{}, err
	}
	task, err := s.w.client.scheduledTask(schedule, contract)
	if err != nil {
		return fired{}, err
	}
	one := fired{label: schedule.Name, now: now, dueTimes: due(schedule, timetable, now, missedGrace+s.w.config.LeaderTerm, room)}
	if !schedule.Declared {
		one.label = dynamicSchedules
	}
	for _, at := range one.fire {
		task.RunAt = at.UnixMicro()
		one.tasks = append(one.tasks, task)
	}
	if len(one.tasks) > 0 {
		// A trace of its own: nobody's request is behind it.
		_, one.sent = s.w.client.send(context.Background(), one.tasks)
	}
	return one, nil
}

// dynamicSchedules stands for all of them in metrics: there may be one for each
// customer. No schedule has such a name.
const dynamicSchedules = "(dynamic)"

// report ends the spans of what was fired, counts it and wakes workers.
func (s *scheduler) report(all []fired, ids []int64, err error) {
	c := s.w.client
	var woken []store.NewTask
	for _, one := range all {
		n := len(one.tasks)
		if err != nil || len(ids) < n {
			if one.sent != nil {
				one.sent(nil, err)
			}
			continue
		}
		if one.sent != nil {
			refs := make([]TaskRef, n)
			for i, id := range ids[:n] {
				refs[i] = TaskRef{&taskRef{id: TaskID(id), typeName: one.tasks[i].Type, enqueuedAt: one.now, source: c}}
			}
			one.sent(refs, nil)
		}
		ids = ids[n:]
		late := make([]time.Duration, n)
		for i, at := range one.fire {
			late[i] = one.now.Sub(at)
		}
		c.metrics.ScheduleFired(one.label, late, one.missed, one.overlapped)
		for _, task := range one.tasks {
			task.RunAt = 0 // it has come
			woken = append(woken, task)
		}
	}
	if len(woken) > 0 {
		c.wakeups.enqueued(woken)
	}
}
