package golang

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

func (e *emitter) taskDecl(t *model.Task) (*taskDecl, error) {
	d := &taskDecl{
		Task:            t.Name,
		Name:            t.GoName,
		Doc:             paragraphs(t.GoName+" is the task type "+t.Name+".", t.Description),
		EnqueueDoc:      paragraphs("Enqueue"+t.GoName+" enqueues one "+t.Name+" task.", deprecated(t.Deprecated)),
		Payload:         t.Payload.GoName,
		Result:          "orchestrator.None",
		EncodeResult:    "codec.EncodeNone",
		DecodeResult:    "codec.DecodeNone",
		PayloadDefaults: typeFillsDefaults(t.Payload),
	}
	if t.Result != nil {
		d.HasResult = true
		d.Result = t.Result.GoName
		d.EncodeResult = "encode" + t.GoName + "Result"
		d.DecodeResult = "decode" + t.GoName + "Result"
		d.ResultDefaults = typeFillsDefaults(t.Result)
	}
	for _, c := range t.Retry.GiveUpOn {
		d.Codes = append(d.Codes, constant{
			Name:  c.GoName,
			Doc:   c.GoName + " ends the task at once.",
			Value: quote(c.Name),
		})
	}
	d.Definition = e.definition(t)
	var err error
	d.Keys, err = e.keys(t)
	return d, err
}

// definition lists the fields of orchestrator.Definition that are not zero.
func (e *emitter) definition(t *model.Task) []setting {
	var s settings
	s.add("Name", quote(t.Name))
	s.add("Queue", "&queue"+t.Queue.GoName)
	s.number("Priority", t.Priority)
	s.addDuration(e, "Timeout", t.Timeout)
	s.addDuration(e, "Deadline", t.Deadline)
	s.addDuration(e, "TTL", t.TTL)
	s.addDuration(e, "Retention", t.Retention)
	s.add("Retry", "orchestrator.RetryPolicy"+e.retry(t.Retry).literal())
	if i := t.Idempotency; i != nil {
		var fields settings
		fields.add("Key", paths(i.Key))
		fields.addDuration(e, "Window", i.Window)
		fields.add("OnDuplicate", "orchestrator."+duplicateConstants[i.OnDuplicate])
		s.add("Idempotency", "&orchestrator.Idempotency"+fields.literal())
	}
	if len(t.Group) > 0 {
		s.add("Group", paths(t.Group))
		s.text("OnDead", t.OnDead)
	}
	if t.RateLimit != nil {
		s.add("RateLimit", e.rateLimit(t.RateLimit))
	}
	if c := t.Concurrency; c != nil {
		var fields settings
		fields.number("Total", c.Total)
		if len(c.By) > 0 {
			fields.add("By", paths(c.By))
		}
		s.add("Concurrency", "&orchestrator.Concurrency"+fields.literal())
	}
	if f := t.OnFinish; f != nil {
		var fields settings
		fields.text("Webhook", f.Webhook)
		if len(f.States) > 0 {
			states := make([]string, len(f.States))
			for i, state := range f.States {
				states[i] = "orchestrator." + strings.ToUpper(state[:1]) + state[1:]
			}
			fields.add("States", "[]orchestrator.State{"+strings.Join(states, ", ")+"}")
		}
		s.add("OnFinish", "&orchestrator.OnFinish"+fields.literal())
	}
	s.text("Fingerprint", t.Fingerprint)
	s.add("PayloadSchema", "schema"+t.GoName+"Payload")
	if t.Result != nil {
		s.add("ResultSchema", "schema"+t.GoName+"Result")
	}
	return s
}

var duplicateConstants = map[string]string{
	"existing": "Existing", "reject": "Reject", "replace": "Replace", "debounce": "Debounce",
}

func (e *emitter) retry(r model.Retry) settings {
	var s settings
	s.number("MaxAttempts", r.MaxAttempts)
	s.text("Backoff", r.Backoff)
	s.addDuration(e, "BaseDelay", r.BaseDelay)
	s.addDuration(e, "MaxDelay", r.MaxDelay)
	s.add("Multiplier", strconv.FormatFloat(r.Multiplier, 'g', -1, 64))
	s.text("Jitter", r.Jitter)
	if len(r.GiveUpOn) > 0 {
		names := make([]string, len(r.GiveUpOn))
		for i, c := range r.GiveUpOn {
			names[i] = c.GoName
		}
		s.add("GiveUpOn", "[]orchestrator.Code{"+strings.Join(names, ", ")+"}")
	}
	return s
}

func (e *emitter) rateLimit(r *model.Rate) string {
	var s settings
	s.number("Count", r.Count)
	s.addDuration(e, "Per", r.Per)
	s.number("Burst", r.Burst)
	return "&orchestrator.RateLimit" + s.literal()
}

// keys lists what a request's keys are made of.
func (e *emitter) keys(t *model.Task) ([]key, error) {
	var keys []key
	add := func(field string, fields []*model.FieldPath) error {
		if len(fields) == 0 {
			return nil
		}
		k, err := e.key(field, fields)
		keys = append(keys, k)
		return err
	}
	if t.Idempotency != nil {
		if err := add("IdempotencyKey", t.Idempotency.Key); err != nil {
			return nil, err
		}
	}
	if err := add("GroupKey", t.Group); err != nil {
		return nil, err
	}
	if t.Concurrency != nil {
		if err := add("LimitKey", t.Concurrency.By); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// key is there when none of its optional fields is null.
func (e *emitter) key(field string, fields []*model.FieldPath) (key, error) {
	k := key{Field: field}
	var conditions, values []string
	for _, path := range fields {
		value, nonNil, err := e.pathValue(path)
		if err != nil {
			return k, fmt.Errorf("%s: %w", path.Path, err)
		}
		values = append(values, value)
		for _, pointer := range nonNil {
			if condition := pointer + " != nil"; !slices.Contains(conditions, condition) {
				conditions = append(conditions, condition)
			}
		}
	}
	k.Condition = strings.Join(conditions, " && ")
	k.Value = "codec.Key(" + strings.Join(values, ", ") + ")"
	return k, nil
}

// pathValue is the expression of a scalar in a payload, and the pointers on the
// way. None of it is sensitive: keys are stored in the clear.
func (e *emitter) pathValue(path *model.FieldPath) (value string, nonNil []string, err error) {
	value = "p"
	for i, f := range path.Fields {
		value += "." + f.GoName
		r := base(f.Type)
		if r.Kind == model.Optional {
			nonNil = append(nonNil, value)
			r = base(r.Elem)
			if i == len(path.Fields)-1 {
				value = "*" + value
			}
		}
		if i < len(path.Fields)-1 {
			continue
		}
		literal, err := e.defaultLiteral(f)
		if err != nil {
			return "", nil, err
		}
		if literal != "" {
			value = "codec.Or(" + value + ", " + literal + ")"
		}
		if isEnum(r) {
			value = "string(" + value + ")"
		}
	}
	return value, nonNil, nil
}

func queueDecls(spec *model.Spec) []*queueDecl {
	e := newEmitter()
	used := map[*model.Queue]bool{}
	for _, t := range spec.Tasks {
		used[t.Queue] = true
	}
	var queues []*queueDecl
	for _, q := range spec.Queues {
		d := &queueDecl{Name: q.GoName, Doc: q.Description, Value: quote(q.Name)}
		if used[q] {
			var s settings
			s.add("Name", "Queue"+q.GoName)
			s.number("PerWorker", q.PerWorker)
			s.number("Total", q.Total)
			if q.RateLimit != nil {
				s.add("RateLimit", e.rateLimit(q.RateLimit))
			}
			d.Definition = s
		}
		queues = append(queues, d)
	}
	return queues
}

func scheduleOf(s *model.Schedule) *scheduleDecl {
	var fields settings
	fields.add("Name", "Schedule"+s.GoName)
	fields.add("Task", s.Task.GoName+".Definition")
	fields.text("Cron", s.Cron)
	fields.text("Timezone", s.Timezone)
	fields.text("Payload", s.Payload)
	fields.text("Missed", s.Missed)
	fields.text("Overlap", s.Overlap)
	return &scheduleDecl{Name: s.GoName, Doc: s.Description, Value: quote(s.Name), Fields: fields}
}

// settings are the fields of a composite literal; zero values are left out.
type settings []setting

func (s *settings) add(field, value string) { *s = append(*s, setting{field, value}) }

func (s *settings) text(field, text string) {
	if text != "" {
		s.add(field, quote(text))
	}
}

func (s *settings) number(field string, n int) {
	if n != 0 {
		s.add(field, strconv.Itoa(n))
	}
}

func (s *settings) addDuration(e *emitter, field string, d time.Duration) {
	if d != 0 {
		s.add(field, e.duration(d))
	}
}

// literal is the body of the literal, on one line.
func (s settings) literal() string {
	parts := make([]string, len(s))
	for i, f := range s {
		parts[i] = f.Field + ": " + f.Value
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func paths(fields []*model.FieldPath) string {
	quoted := make([]string, len(fields))
	for i, f := range fields {
		quoted[i] = quote(f.Path)
	}
	return "[]string{" + strings.Join(quoted, ", ") + "}"
}
