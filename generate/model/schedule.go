package model

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a spec is valid or not on every machine alike

	"github.com/netresearch/go-cron"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

func (r *resolver) resolveSchedules() {
	for _, s := range byName(slices.Clone(r.file.Schedules), func(s *spec.Schedule) string { return s.Name.V }) {
		schedule := &Schedule{
			Name:        s.Name.V,
			GoName:      named(s.Name.V, s.GoName),
			Description: s.Description.V,
			Cron:        s.Cron.V,
			Timezone:    "UTC",
			Payload:     "{}",
			Missed:      "run_once",
			Overlap:     "skip",
			Position:    s.Name.Node.Place.Position,
		}
		r.ids.declare(scheduleIdentifier(schedule.GoName), "schedule "+schedule.Name, s.Name.Node)
		if s.Missed.Set {
			schedule.Missed = s.Missed.V
		}
		if s.Overlap.Set {
			schedule.Overlap = s.Overlap.V
		}
		if schedule.Missed == "run_all" && schedule.Overlap == "skip" {
			r.wrong(s.Missed.Node, "write overlap: allow beside it, or missed: run_once",
				"with overlap: skip, all missed times but the first would find that one's task live and be skipped")
		}
		location := time.UTC
		if s.Timezone.Set {
			schedule.Timezone = s.Timezone.V
			location = r.location(s.Timezone)
		}
		if s.Cron.Set && location != nil {
			r.checkCron(s.Cron, location)
		}
		r.scheduleTask(schedule, s)
		r.out.Schedules = append(r.out.Schedules, schedule)
	}
}

// scheduleTask looks the task up and checks the payload against its type.
func (r *resolver) scheduleTask(schedule *Schedule, s *spec.Schedule) {
	if !s.Task.Set {
		return
	}
	schedule.Task = r.tasks[s.Task.V]
	if schedule.Task == nil && r.file.Rejected["tasks."+s.Task.V] {
		return
	}
	if schedule.Task == nil {
		suggestion := nearest(r, s.Task.V, r.tasks)
		r.wrong(s.Task.Node, suggestion, "there is no task %q", s.Task.V)
		return
	}
	payload := s.Payload
	if payload == nil {
		// What is missing is told at the schedule's name.
		payload = &spec.Node{Kind: spec.Mapping, Place: s.Name.Node.Place, Path: s.Name.Node.Path + ".payload"}
	}
	schedule.Payload = r.object(schedule.Task.Payload, payload)
}

var zoneForm = regexp.MustCompile(`^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$`)

// location loads a time zone; nil after a mistake.
func (r *resolver) location(v spec.Value[string]) *time.Location {
	if v.V == "Local" || !zoneForm.MatchString(v.V) {
		r.wrong(v.Node, "write an IANA name such as Europe/Lisbon or UTC", "%s is not a time zone", describeNode(v.Node))
		return nil
	}
	location, err := time.LoadLocation(v.V)
	if err != nil {
		r.wrong(v.Node, "write an IANA name such as Europe/Lisbon or UTC", "there is no time zone %q", v.V)
		return nil
	}
	return location
}

// cronParser reads five fields or a descriptor, as the engine does, which
// cannot be imported here; tests/schedules compares the two. Its search
// reaches far enough for the rarest date there is: 29 February on a given day
// of the week, which can take 40 years across a century.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).WithMaxSearchYears(40)

// cronReference is where the search for a first run begins: fixed, so that a
// spec does not become invalid one day.
var cronReference = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

func (r *resolver) checkCron(v spec.Value[string], location *time.Location) {
	fields := strings.Fields(v.V)
	switch {
	case strings.Contains(v.V, "TZ="):
		r.wrong(v.Node, "write timezone: Europe/Lisbon beside it", "the time zone is not a part of the cron expression")
		return
	case len(fields) == 6 && !strings.HasPrefix(v.V, "@"):
		r.wrong(v.Node, fmt.Sprintf("without seconds: cron: %q", strings.Join(fields[1:], " ")),
			"six fields, and a cron expression has five: minute, hour, day of month, month, day of week")
		return
	case len(fields) != 5 && !strings.HasPrefix(v.V, "@"):
		r.wrong(v.Node, "", "%d fields, and a cron expression has five: minute, hour, day of month, month, day of week", len(fields))
		return
	}
	schedule, err := cronParser.Parse(v.V)
	if err != nil {
		descriptors := []string{"@hourly", "@daily", "@weekly", "@monthly", "@yearly"}
		suggestion := ""
		if strings.HasPrefix(v.V, "@") {
			suggestion = diagnostic.DidYouMean(v.V, descriptors)
		}
		r.wrong(v.Node, suggestion, "not a cron expression: %v", err)
		return
	}
	if schedule.Next(cronReference.In(location)).IsZero() {
		r.wrong(v.Node, "look at the day of the month and the month", "%q never comes: there is no such date", v.V)
	}
}
