package model

import (
	"fmt"
	"strings"
)

// dump writes a Spec for the golden files: every field that is not zero, each
// type once.
func dump(s *Spec) string {
	d := &dumper{}
	d.line(0, "package %s from %s", s.Package, strings.Join(s.Files, ", "))
	for _, q := range s.Queues {
		d.line(0, "queue %s = Queue%s per_worker=%d total=%d%s%s at %s", q.Name, q.GoName, q.PerWorker, q.Total, rateText(q.RateLimit), sloText(q.SLO), q.Position)
		d.note(1, q.Description)
	}
	for _, segment := range s.Segments {
		d.line(0, "segment %s = %s lone=%v", segment.Name, segment.GoName, segment.Lone)
		for _, t := range segment.Types {
			d.line(1, "type %s", t.GoName)
		}
		for _, t := range segment.Tasks {
			d.line(1, "task %s", t.Name)
		}
	}
	for _, t := range s.Types {
		d.typ(t)
	}
	for _, t := range s.Tasks {
		d.task(t)
	}
	for _, schedule := range s.Schedules {
		d.line(0, "schedule %s = Schedule%s runs %s at %s", schedule.Name, schedule.GoName, schedule.Task.Name, schedule.Position)
		d.note(1, schedule.Description)
		d.line(1, "cron %q in %s, missed %s, overlap %s", schedule.Cron, schedule.Timezone, schedule.Missed, schedule.Overlap)
		d.line(1, "payload %s", schedule.Payload)
	}
	return d.String()
}

type dumper struct{ strings.Builder }

func (d *dumper) line(depth int, format string, args ...any) {
	d.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(d, format, args...)
	d.WriteByte('\n')
}

func (d *dumper) note(depth int, text string) {
	if text != "" {
		d.line(depth, "doc %q", text)
	}
}

func (d *dumper) typ(t *Type) {
	kind := map[TypeKind]string{ObjectType: "object", EnumType: "enum", AliasType: "alias"}[t.Kind]
	d.line(0, "%s %s%s%s%s at %s", kind, t.GoName, label(" name", t.Name), word(" sensitive", t.Sensitive), word(" defaults", t.Defaults), t.Position)
	d.note(1, t.Description)
	d.note(1, t.Deprecated)
	if t.Aliased != nil {
		d.line(1, "= %s", refText(t.Aliased))
	}
	for _, v := range t.Values {
		d.line(1, "%s = %q", v.GoName, v.Value)
	}
	for _, f := range t.Fields {
		d.line(1, "%s %s %s%s%s%s at %s", f.Name, f.GoName, refText(f.Type), label(" default", f.Default), word(" sensitive", f.Sensitive), label(" deprecated", f.Deprecated), f.Position)
		d.note(2, f.Description)
	}
}

func (d *dumper) task(t *Task) {
	d.line(0, "task %s = %s in %s at %s", t.Name, t.GoName, t.Segment, t.Position)
	d.note(1, t.Description)
	d.note(1, t.Deprecated)
	d.line(1, "contract %s", t.Fingerprint)
	d.line(1, "payload %s", t.Payload.GoName)
	if t.Result != nil {
		d.line(1, "result %s", t.Result.GoName)
	}
	d.line(1, "queue %s priority=%d timeout=%s deadline=%s ttl=%s retention=%s%s%s", t.Queue.Name, t.Priority, t.Timeout, t.Deadline, t.TTL, t.Retention, rateText(t.RateLimit), sloText(t.SLO))
	d.line(1, "retry %d %s %s..%s x%g jitter=%s", t.Retry.MaxAttempts, t.Retry.Backoff, t.Retry.BaseDelay, t.Retry.MaxDelay, t.Retry.Multiplier, t.Retry.Jitter)
	for _, c := range t.Retry.GiveUpOn {
		d.line(2, "%s = %q", c.GoName, c.Name)
	}
	if i := t.Idempotency; i != nil {
		d.line(1, "idempotency %s window=%s on_duplicate=%s", pathText(i.Key), i.Window, i.OnDuplicate)
	}
	if t.Group != nil {
		d.line(1, "group %s on_dead=%s", pathText(t.Group), t.OnDead)
	}
	if c := t.Concurrency; c != nil {
		d.line(1, "concurrency %d by %s", c.Total, pathText(c.By))
	}
	if f := t.OnFinish; f != nil {
		d.line(1, "on_finish %s %v", f.Webhook, f.States)
	}
	for _, s := range t.Settings {
		at := ""
		if s.Position != (Position{}) {
			at = " at " + s.Position.String()
		}
		d.line(1, "%s: %s (%s%s)", s.Key, s.Value, s.Origin, at)
	}
}

func pathText(paths []*FieldPath) string {
	var texts []string
	for _, p := range paths {
		var steps []string
		for _, f := range p.Fields {
			steps = append(steps, f.GoName)
		}
		texts = append(texts, p.Path+"="+strings.Join(steps, "."))
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func rateText(r *Rate) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf(" rate=%d per %s burst=%d", r.Count, r.Per, r.Burst)
}

func sloText(s *SLO) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf(" slo start_within=%s succeed=%s", s.StartWithin, s.Succeed)
}

func refText(r *Ref) string {
	switch {
	case r.Kind == Named:
		return r.Named.GoName + r.Constraints.canonical()
	case r.Elem != nil:
		return fmt.Sprintf("%s<%s>%s", r.Kind, refText(r.Elem), r.Constraints.canonical())
	default:
		return r.Kind.String() + r.Constraints.canonical()
	}
}

func label(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + value
}

func word(name string, set bool) string {
	if !set {
		return ""
	}
	return name
}
