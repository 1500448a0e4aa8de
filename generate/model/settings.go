package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

const engineOrigin = "default of the engine"

// engineDefaults are what holds where the spec says nothing.
func engineDefaults() spec.Settings {
	return spec.Settings{
		Queue:    byEngine(defaultQueue),
		Priority: byEngine(0),
		Timeout:  byEngine(time.Minute),
		Deadline: byEngine[time.Duration](0),
		TTL:      byEngine[time.Duration](0),
		Retry: spec.Retry{
			MaxAttempts: byEngine(5),
			Backoff:     byEngine("exponential"),
			BaseDelay:   byEngine(time.Second),
			MaxDelay:    byEngine(time.Hour),
			Multiplier:  byEngine(2.0),
			Jitter:      byEngine("full"),
		},
		Idempotency: spec.Idempotency{
			Window:      byEngine(24 * time.Hour),
			OnDuplicate: byEngine("existing"),
		},
		OnDead: byEngine("skip"),
	}
}

func byEngine[T any](v T) spec.Value[T] {
	return spec.Value[T]{V: v, Set: true, Origin: engineOrigin}
}

// merge lays over on base: mappings merge key by key, lists and scalars are
// replaced. It is associative.
func merge(base, over spec.Settings) spec.Settings {
	return spec.Settings{
		Queue:    first(over.Queue, base.Queue),
		Priority: first(over.Priority, base.Priority),
		Timeout:  first(over.Timeout, base.Timeout),
		Deadline: first(over.Deadline, base.Deadline),
		TTL:      first(over.TTL, base.TTL),
		Retry: spec.Retry{
			MaxAttempts: first(over.Retry.MaxAttempts, base.Retry.MaxAttempts),
			Backoff:     first(over.Retry.Backoff, base.Retry.Backoff),
			BaseDelay:   first(over.Retry.BaseDelay, base.Retry.BaseDelay),
			MaxDelay:    first(over.Retry.MaxDelay, base.Retry.MaxDelay),
			Multiplier:  first(over.Retry.Multiplier, base.Retry.Multiplier),
			Jitter:      first(over.Retry.Jitter, base.Retry.Jitter),
			GiveUpOn:    first(over.Retry.GiveUpOn, base.Retry.GiveUpOn),
		},
		Idempotency: spec.Idempotency{
			Key:         first(over.Idempotency.Key, base.Idempotency.Key),
			Window:      first(over.Idempotency.Window, base.Idempotency.Window),
			OnDuplicate: first(over.Idempotency.OnDuplicate, base.Idempotency.OnDuplicate),
		},
		RateLimit: mergeRateLimit(base.RateLimit, over.RateLimit),
		Concurrency: spec.Concurrency{
			Total: first(over.Concurrency.Total, base.Concurrency.Total),
			By:    first(over.Concurrency.By, base.Concurrency.By),
		},
		Retention: first(over.Retention, base.Retention),
		Group:     first(over.Group, base.Group),
		OnDead:    first(over.OnDead, base.OnDead),
		OnFinish: spec.OnFinish{
			Webhook: first(over.OnFinish.Webhook, base.OnFinish.Webhook),
			States:  first(over.OnFinish.States, base.OnFinish.States),
		},
		SLO: spec.SLO{
			StartWithin: first(over.SLO.StartWithin, base.SLO.StartWithin),
			Succeed:     first(over.SLO.Succeed, base.SLO.Succeed),
		},
	}
}

// mergeRateLimit differs from the rest in that the scalar form stands for a
// whole rate limit and so replaces a mapping, burst included.
func mergeRateLimit(base, over spec.RateLimit) spec.RateLimit {
	if over.Whole {
		return over
	}
	return spec.RateLimit{
		Whole: base.Whole,
		Rate:  first(over.Rate, base.Rate),
		Burst: first(over.Burst, base.Burst),
	}
}

func first[T any](over, base spec.Value[T]) spec.Value[T] {
	if over.Set {
		return over
	}
	return base
}

// applySettings merges what holds for a task and resolves it.
func (r *resolver) applySettings(task *Task, t *spec.Task) {
	s := merge(engineDefaults(), *r.file.Defaults)
	if t.Policy.Set {
		policy := r.policies[t.Policy.V]
		switch {
		case policy == nil && r.file.Rejected["policies."+t.Policy.V]:
		case policy == nil:
			suggestion := nearest(r, t.Policy.V, r.policies)
			if suggestion == "" {
				suggestion = fmt.Sprintf("declare it: policies: {%s: {...}}", t.Policy.V)
			}
			r.wrong(t.Policy.Node, suggestion, "there is no policy %q", t.Policy.V)
		default:
			s = merge(s, *policy)
		}
	}
	s = merge(s, *t.Settings)

	task.Queue = r.queue(s.Queue)
	task.Priority = s.Priority.V
	task.Timeout = s.Timeout.V
	task.Deadline = s.Deadline.V
	task.TTL = s.TTL.V
	task.Retention = s.Retention.V
	task.RateLimit = r.rate(s.RateLimit)
	task.SLO = r.slo(s.SLO)
	task.OnFinish = r.onFinish(s.OnFinish)
	r.applyRetry(task, s.Retry)
	r.applyFieldSettings(task, t, s)
	task.Settings = listSettings(task, t, s)
}

func (r *resolver) applyRetry(task *Task, s spec.Retry) {
	task.Retry = Retry{
		MaxAttempts: s.MaxAttempts.V,
		Backoff:     s.Backoff.V,
		BaseDelay:   s.BaseDelay.V,
		MaxDelay:    s.MaxDelay.V,
		Multiplier:  s.Multiplier.V,
		Jitter:      s.Jitter.V,
	}
	if s.BaseDelay.V > s.MaxDelay.V {
		node, other, note := s.BaseDelay.Node, s.MaxDelay.Node, "max_delay is here"
		if node == nil {
			node, other = other, nil
		}
		r.contradicts(node, other, note, "", "base_delay %s is longer than max_delay %s",
			spec.FormatDuration(s.BaseDelay.V), spec.FormatDuration(s.MaxDelay.V))
	}
	for _, code := range s.GiveUpOn.V {
		c := &Code{Name: code.V, GoName: task.GoName + goName(code.V)}
		task.Retry.GiveUpOn = append(task.Retry.GiveUpOn, c)
		r.ids.declare(c.GoName, fmt.Sprintf("the error code %s of task %s", c.Name, task.Name), code.Node)
	}
}

// onFinish resolves whom to tell of a task's end; nil is nobody.
func (r *resolver) onFinish(s spec.OnFinish) *OnFinish {
	if s.Webhook.V == "" {
		if s.States.Set && s.States.Origin == "task" && !s.Webhook.Set {
			r.wrong(s.States.Node, "add webhook, the URL to call", "on_finish.states says when a webhook is called, and there is none")
		}
		return nil
	}
	f := &OnFinish{Webhook: s.Webhook.V}
	for _, state := range spec.EndStates {
		if slices.ContainsFunc(s.States.V, func(v spec.Value[string]) bool { return v.V == state }) {
			f.States = append(f.States, state)
		}
	}
	return f
}

// applyFieldSettings resolves the settings that name payload fields.
func (r *resolver) applyFieldSettings(task *Task, t *spec.Task, s spec.Settings) {
	paths := fieldPaths{resolver: r, task: task, node: t.Name.Node}
	task.Group = paths.resolve(s.Group, "group", true)
	if s.Group.Set {
		task.OnDead = s.OnDead.V
	} else if s.OnDead.Origin == "task" {
		r.wrong(s.OnDead.Node, "add a group, or remove it", "on_dead says what a group does with a dead task, and there is no group")
	}
	if s.Idempotency.Key.Set {
		task.Idempotency = &Idempotency{
			Key:         paths.resolve(s.Idempotency.Key, "idempotency.key", false),
			Window:      s.Idempotency.Window.V,
			OnDuplicate: s.Idempotency.OnDuplicate.V,
		}
	} else if node := firstNode(t.Settings.Idempotency); node != nil {
		r.wrong(node, "add the fields that make two tasks the same, as in key: [user_id]", "idempotency has no key")
	}
	if s.Concurrency.Total.Set {
		task.Concurrency = &Concurrency{
			Total: s.Concurrency.Total.V,
			By:    paths.resolve(s.Concurrency.By, "concurrency.by", false),
		}
	} else if s.Concurrency.By.Set {
		r.wrong(s.Concurrency.By.Node, "add total, the number of tasks of one value that run at a time", "concurrency.by has no total")
	}
	if s.Group.Set && s.Concurrency.By.Set && contains(s.Concurrency.By.V, s.Group.V) {
		r.contradicts(s.Concurrency.By.Node, s.Group.Node, "the group is here", "remove one of the two",
			"concurrency.by is never reached: the group already lets one task at a time run for each value")
	}
}

// firstNode is where a task's own idempotency sets anything; nil where it does
// not.
func firstNode(i spec.Idempotency) *spec.Node {
	if i.Window.Set {
		return i.Window.Node
	}
	return i.OnDuplicate.Node
}

// contains tells whether every one of inner is in outer.
func contains(outer, inner []spec.Value[string]) bool {
	in := make(map[string]bool, len(outer))
	for _, v := range outer {
		in[v.V] = true
	}
	for _, v := range inner {
		if !in[v.V] {
			return false
		}
	}
	return true
}

// listSettings lists the values that hold, in the order of the grammar.
func listSettings(task *Task, t *spec.Task, s spec.Settings) []Setting {
	var list []Setting
	add := func(key, value, origin string, node *spec.Node) {
		setting := Setting{Key: key, Value: value, Origin: origin}
		if node != nil {
			setting.Position = node.Place.Position
		}
		list = append(list, setting)
	}

	addValue(add, "queue", s.Queue, plain)
	if t.Policy.Set {
		addValue(add, "policy", t.Policy, plain)
	}
	addValue(add, "priority", s.Priority, strconv.Itoa)
	addValue(add, "timeout", s.Timeout, durationOrNone)
	addValue(add, "deadline", s.Deadline, durationOrNone)
	addValue(add, "ttl", s.TTL, durationOrNone)
	addValue(add, "retry.max_attempts", s.Retry.MaxAttempts, strconv.Itoa)
	addValue(add, "retry.backoff", s.Retry.Backoff, plain)
	addValue(add, "retry.base_delay", s.Retry.BaseDelay, spec.FormatDuration)
	addValue(add, "retry.max_delay", s.Retry.MaxDelay, spec.FormatDuration)
	addValue(add, "retry.multiplier", s.Retry.Multiplier, decimal)
	addValue(add, "retry.jitter", s.Retry.Jitter, plain)
	addValue(add, "retry.give_up_on", s.Retry.GiveUpOn, wordList)
	if task.Idempotency != nil {
		addValue(add, "idempotency.key", s.Idempotency.Key, wordList)
		addValue(add, "idempotency.window", s.Idempotency.Window, spec.FormatDuration)
		addValue(add, "idempotency.on_duplicate", s.Idempotency.OnDuplicate, plain)
	}
	addValue(add, "rate_limit.rate", s.RateLimit.Rate, spec.Rate.String)
	addValue(add, "rate_limit.burst", s.RateLimit.Burst, strconv.Itoa)
	addValue(add, "concurrency.total", s.Concurrency.Total, strconv.Itoa)
	addValue(add, "concurrency.by", s.Concurrency.By, wordList)
	addValue(add, "retention", s.Retention, spec.FormatDuration)
	if s.Group.Set {
		addValue(add, "group", s.Group, wordList)
		addValue(add, "on_dead", s.OnDead, plain)
	}
	addValue(add, "on_finish.webhook", s.OnFinish.Webhook, textOrNone)
	if task.OnFinish != nil {
		addValue(add, "on_finish.states", s.OnFinish.States, wordList)
	}
	addValue(add, "slo.start_within", s.SLO.StartWithin, durationOrNone)
	addValue(add, "slo.succeed", s.SLO.Succeed, shareOrNone)
	return list
}

func addValue[T any](add func(key, value, origin string, node *spec.Node), key string, v spec.Value[T], format func(T) string) {
	if v.Set {
		add(key, format(v.V), v.Origin, v.Node)
	}
}

func plain(text string) string { return text }

func textOrNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func durationOrNone(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return spec.FormatDuration(d)
}

func wordList(values []spec.Value[string]) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.V
	}
	return "[" + strings.Join(words, ", ") + "]"
}
