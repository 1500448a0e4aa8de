package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// What a schedule may say of due times that passed unheard.
const (
	missedSkip    = "skip"
	missedRunOnce = "run_once"
	missedRunAll  = "run_all"
)

// What a schedule may say of due times that find its last task live.
const (
	overlapAllow = "allow"
	overlapSkip  = "skip"
)

// withDefaults returns s with everything filled in, or what is wrong with it.
func (s Schedule) withDefaults() (Schedule, error) {
	for _, one := range []struct {
		value   *string
		unset   string
		allowed []string
		name    string
	}{
		{&s.Missed, missedRunOnce, []string{missedSkip, missedRunOnce, missedRunAll}, "missed"},
		{&s.Overlap, overlapSkip, []string{overlapAllow, overlapSkip}, "overlap"},
	} {
		if *one.value == "" {
			*one.value = one.unset
		}
		known := false
		for _, word := range one.allowed {
			known = known || *one.value == word
		}
		if !known {
			return s, fmt.Errorf("%s %q: want %s", one.name, *one.value, strings.Join(one.allowed, " or "))
		}
	}
	if s.Missed == missedRunAll && s.Overlap == overlapSkip {
		return s, errors.New("missed run_all needs overlap allow: with overlap skip, all but the first of them would find that one live and be skipped")
	}
	if !scheduleName.MatchString(s.Name) || len(s.Name) > maxScheduleName {
		return s, fmt.Errorf("not a name for a schedule: want letters, digits and _ . : -, at most %d", maxScheduleName)
	}
	s.Timezone = s.zone()
	if s.Payload = strings.TrimSpace(s.Payload); s.Payload == "" {
		s.Payload = "{}"
	}
	_, err := newTimetable(s.Cron, s.Timezone)
	return s, err
}

const maxScheduleName = 128

var scheduleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:\-]*$`)

// scheduleSpec checks a schedule by definition and turns it into what is stored.
func (c *Client) scheduleSpec(ctx context.Context, s Schedule) (store.ScheduleSpec, error) {
	if s.Task == nil {
		return store.ScheduleSpec{}, errors.New("it has no Task")
	}
	stored, err := contractOf(s.Task)
	if err != nil {
		return store.ScheduleSpec{}, err
	}
	if stored.ID, err = c.contractID(ctx, s.Task); err != nil {
		return store.ScheduleSpec{}, err
	}
	contract, err := newRawContract(stored)
	if err != nil {
		return store.ScheduleSpec{}, err
	}
	return scheduleSpecOf(s, stored.ID, contract)
}

func scheduleSpecOf(s Schedule, contractID int32, contract *rawContract) (store.ScheduleSpec, error) {
	s, err := s.withDefaults()
	if err != nil {
		return store.ScheduleSpec{}, err
	}
	if _, err := contract.request([]byte(s.Payload)); err != nil {
		return store.ScheduleSpec{}, err
	}
	return store.ScheduleSpec{
		Name: s.Name, Contract: contractID, Cron: s.Cron, Timezone: s.Timezone, Payload: s.Payload, Missed: s.Missed, Overlap: s.Overlap,
	}, nil
}

// declareSchedules stores the versions of schedules that a spec has, and
// returns their numbers. They come into force when the leader finds a live
// worker that has them ([scheduler]).
func (c *Client) declareSchedules(ctx context.Context, schedules []Schedule) ([]int32, error) {
	ids, seen := make([]int32, 0, len(schedules)), map[string]bool{}
	for _, one := range schedules {
		if seen[one.Name] {
			return nil, fmt.Errorf("orchestrator: schedule %s is declared twice", one.Name)
		}
		seen[one.Name] = true
		spec, err := c.scheduleSpec(ctx, one)
		if err != nil {
			return nil, fmt.Errorf("orchestrator: schedule %s: %w", one.Name, err)
		}
		id, err := c.store.DeclareSchedule(ctx, spec, fingerprintOf(spec))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func fingerprintOf(s store.ScheduleSpec) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and a number
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// dueTimes is what becomes of a schedule's due times at one moment.
type dueTimes struct {
	fire       []time.Time // to enqueue, in order
	missed     int         // passed over by what the schedule says of missed ones
	overlapped int         // passed over because the last task was live
	next       time.Time   // what comes next; it may have passed too, when there was more than one turn may take
}

// maxDueTimes bounds how many due times of a schedule one turn goes through.
const maxDueTimes = 10_000

// due decides about the due times of a schedule from s.NextAt until now. Those
// that are at most grace late are on time. At most room are to be enqueued; the
// rest is for another turn.
func due(s *store.Schedule, timetable *timetable, now time.Time, grace time.Duration, room int) dueTimes {
	d := dueTimes{next: s.NextAt}
	live := s.LastIsLive
	fire := func(at time.Time) {
		if s.Overlap == overlapSkip && live {
			d.overlapped++
			return
		}
		d.fire, live = append(d.fire, at), true
	}
	var latest time.Time // missed, and to be made up for if nothing later is due
	for n := 0; !d.next.IsZero() && !d.next.After(now) && n < maxDueTimes && len(d.fire) < room; n++ {
		late := now.Sub(d.next) > grace
		if (!late || s.Missed == missedRunOnce) && !latest.IsZero() {
			latest = time.Time{}
			d.missed++
		}
		switch {
		case !late || s.Missed == missedRunAll:
			fire(d.next)
		case s.Missed == missedRunOnce:
			latest = d.next
		default:
			d.missed++
		}
		d.next = timetable.next(d.next)
	}
	switch {
	case latest.IsZero():
	case d.next.IsZero() || d.next.After(now):
		fire(latest)
	default:
		d.missed++
	}
	return d
}

// metadataSchedule is where a task's metadata name the schedule it came from.
const metadataSchedule = "schedule"

// scheduledTask makes the task of a schedule but for its run_at. It has no
// idempotency key: the schedule's row sees to it that a due time has one task,
// and a key of the payload's fields would make every later one a duplicate.
func (c *Client) scheduledTask(s *store.Schedule, stored store.Contract) (store.NewTask, error) {
	contract, err := c.rawContracts.get(c, stored)
	if err != nil {
		return store.NewTask{}, err
	}
	r, err := contract.request([]byte(s.Payload))
	if err != nil {
		return store.NewTask{}, err
	}
	r.IdempotencyKey = ""
	r.Apply([]EnqueueOption{WithMetadata(map[string]string{metadataSchedule: s.Name})})
	var task store.NewTask
	if err := newTask(&r, string(r.Payload), &task); err != nil {
		return store.NewTask{}, err
	}
	task.Contract = s.Contract
	return task, nil
}
