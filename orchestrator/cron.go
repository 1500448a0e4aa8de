package orchestrator

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a schedule means the same on an image without zone files

	"github.com/netresearch/go-cron"
)

// cronParser reads cron expressions as the generator does (generate/model),
// which cannot be imported here; tests/schedules compares the two. Its search
// reaches the rarest date there is: 29 February on a given day of the week can
// take 40 years across a century.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).WithMaxSearchYears(40)

// cronReference is where the search for a first date begins: fixed, so that an
// expression does not become invalid one day.
var cronReference = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// timetable is a cron expression in a time zone.
//
// An expression is about what a clock on the wall shows. Where clocks jump, a
// time on the wall may not come, or come twice:
//
//   - An expression that names hours ("30 2 * * *") means each time on the wall
//     once: one that does not come is due as much later as the clocks jump,
//     one that comes twice is due the first time.
//   - An expression of every hour ("*/15 * * * *") follows the clock: it is due
//     whenever a clock shows the time, be it not at all or twice.
type timetable struct {
	every time.Duration      // of "@every 90m"; 0 for an expression
	walls *cron.SpecSchedule // times on the wall, written as times in UTC, where no clock jumps
	zone  *time.Location
	// everyHour follows the clock.
	everyHour bool
}

func newTimetable(expression, zone string) (*timetable, error) {
	location, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(expression)
	switch {
	case strings.Contains(expression, "TZ="):
		return nil, fmt.Errorf("cron %q: the time zone is not a part of the expression: give it as the time zone", expression)
	case len(fields) != 5 && !strings.HasPrefix(expression, "@"):
		return nil, fmt.Errorf("cron %q: %d fields, and a cron expression has five: minute, hour, day of month, month, day of week", expression, len(fields))
	}
	parsed, err := cronParser.Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("cron %q: %w", expression, err)
	}
	switch parsed := parsed.(type) {
	case cron.ConstantDelaySchedule:
		return &timetable{every: parsed.Delay, zone: location}, nil
	case *cron.SpecSchedule:
		walls := *parsed
		walls.Location = time.UTC
		if walls.Next(cronReference).IsZero() {
			return nil, fmt.Errorf("cron %q never comes: there is no such date; look at the day of the month and the month", expression)
		}
		const allHours = 1<<24 - 1
		return &timetable{walls: &walls, zone: location, everyHour: walls.Hour&allHours == allHours}, nil
	}
	return nil, fmt.Errorf("cron %q: not supported", expression)
}

var zoneForm = regexp.MustCompile(`^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$`)

func loadZone(name string) (*time.Location, error) {
	if name == "Local" || !zoneForm.MatchString(name) {
		return nil, fmt.Errorf("%q is not a time zone: want an IANA name such as Europe/Lisbon, or UTC", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q: want an IANA name such as Europe/Lisbon, or UTC", name)
	}
	return location, nil
}

// next is the first due time after a moment; zero when there is none.
func (t *timetable) next(after time.Time) time.Time {
	if t.every > 0 {
		return nextMultiple(after, t.every)
	}
	for from := after; ; {
		p := t.periodAt(from)
		due, wall := t.nextIn(p, after)
		if !due.IsZero() || wall.IsZero() || p.ends.IsZero() {
			return due
		}
		// Offsets from UTC are of less than 26 hours, so nothing is due before
		// the wall's label less those.
		if from = wall.Add(-26 * time.Hour); from.Before(p.ends) {
			from = p.ends
		}
	}
}

// nextMultiple is the next whole multiple of every since 1970 in UTC: a due time
// must not depend on when a schedule was made, or a worker was started.
func nextMultiple(after time.Time, every time.Duration) time.Time {
	step := int64(every / time.Second)
	n := after.Unix() / step
	if after.Unix() < 0 && after.Unix()%step != 0 {
		n-- // division rounds towards zero
	}
	return time.Unix((n+1)*step, 0).UTC()
}

// period is a stretch of time in which a zone's offset from UTC is constant.
type period struct {
	begins, ends time.Time     // zero: always, never
	offset       time.Duration // from UTC
	before       time.Duration // offset of the period before
}

func (t *timetable) periodAt(at time.Time) period {
	local := at.In(t.zone)
	begins, ends := local.ZoneBounds()
	p := period{begins: begins, ends: ends, offset: offsetAt(local)}
	if p.before = p.offset; !begins.IsZero() {
		p.before = offsetAt(begins.Add(-1))
	}
	return p
}

func offsetAt(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// nextIn is the first due time after a moment that lies in p, zero when there is none;
// and the first matching time on the wall from there on, be it in p or later.
func (t *timetable) nextIn(p period, after time.Time) (due, wall time.Time) {
	wallAt := func(at time.Time, offset time.Duration) time.Time { return at.UTC().Add(offset) }
	if !p.begins.IsZero() && after.Before(p.begins) {
		after = p.begins.Add(-1)
	}
	from := wallAt(after, p.offset)
	if !t.everyHour && p.before > p.offset {
		// Clocks were put back: until they show again what they showed
		// before, times repeat.
		if first := wallAt(p.begins, p.before).Add(-1); from.Before(first) {
			from = first
		}
	}
	wall = t.walls.Next(from)
	if !wall.IsZero() {
		if at := wall.Add(-p.offset); p.ends.IsZero() || at.Before(p.ends) {
			due = at
		}
	}
	if !t.everyHour && p.before < p.offset {
		// Clocks were put forward: what they left out is due as much later.
		left := t.walls.Next(wallAt(after, p.before))
		if at := left.Add(-p.before); !left.IsZero() && left.Before(wallAt(p.begins, p.offset)) && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due, wall
}

// Next is the first due time after a moment, by the schedule's Cron and
// Timezone alone. The rules where clocks jump are in docs/spec.md.
func (s Schedule) Next(after time.Time) (time.Time, error) {
	timetable, err := newTimetable(s.Cron, s.zone())
	if err != nil {
		return time.Time{}, fmt.Errorf("orchestrator: schedule %s: %w", s.Name, err)
	}
	next := timetable.next(after)
	if next.IsZero() {
		return next, fmt.Errorf("orchestrator: schedule %s: %w", s.Name, errNeverAgain)
	}
	return next.UTC(), nil
}

var errNeverAgain = errors.New("it is never due again")

func (s Schedule) zone() string {
	if s.Timezone == "" {
		return "UTC"
	}
	return s.Timezone
}
