package spec

import "time"

// misplaced tells where keys belong that are often written one level too high
// or by another name.
var misplaced = map[string]string{
	"max_attempts": "it belongs under retry: {max_attempts: ...}",
	"attempts":     "write retry: {max_attempts: ...}",
	"max_retries":  "write retry: {max_attempts: ...}, which counts the first try",
	"retries":      "write retry: {max_attempts: ...}, which counts the first try",
	"backoff":      "it belongs under retry: {backoff: ...}",
	"base_delay":   "it belongs under retry: {base_delay: ...}",
	"max_delay":    "it belongs under retry: {max_delay: ...}",
	"multiplier":   "it belongs under retry: {multiplier: ...}",
	"jitter":       "it belongs under retry: {jitter: ...}",
	"give_up_on":   "it belongs under retry: {give_up_on: [...]}",
	"key":          "it belongs under idempotency: {key: ...}",
	"unique":       "write idempotency: {key: [...]}",
	"window":       "it belongs under idempotency: {window: ...}",
	"on_duplicate": "it belongs under idempotency: {on_duplicate: ...}",
	"cron":         "schedules have a section of their own: schedules: {a_name: {task: ..., cron: ...}}",
	"schedule":     "schedules have a section of their own: schedules: {a_name: {task: ..., cron: ...}}",
	"start_within": "it belongs under slo: {start_within: ...}",
	"succeed":      "it belongs under slo: {succeed: ...}",
	"webhook":      "it belongs under on_finish: {webhook: ...}",
	"callback":     "write on_finish: {webhook: ...}",
	"on_complete":  "write on_finish: {webhook: ...}",
	"on_success":   "write on_finish: {webhook: ..., states: [succeeded]}",
	"on_failure":   "write on_finish: {webhook: ..., states: [dead]}",
	"input":        "write payload",
	"args":         "write payload",
	"output":       "write result",
}

// settings are the entries that defaults, policies and tasks share.
func (r *reader) settings(s *Settings) []entry {
	return []entry{
		{"queue", func(_, v *Node) { s.Queue = r.queueName(v) }},
		{"priority", func(_, v *Node) { s.Priority = r.integer(v, -100, 100) }},
		{"timeout", func(_, v *Node) { s.Timeout = r.durationOrNone(v) }},
		{"deadline", func(_, v *Node) { s.Deadline = r.durationOrNone(v) }},
		{"ttl", func(_, v *Node) { s.TTL = r.durationOrNone(v) }},
		{"retry", func(_, v *Node) { r.retry(v, &s.Retry) }},
		{"idempotency", func(_, v *Node) { r.idempotency(v, &s.Idempotency) }},
		{"rate_limit", func(_, v *Node) { s.RateLimit = r.rateLimit(v) }},
		{"concurrency", func(_, v *Node) { r.concurrency(v, &s.Concurrency) }},
		{"retention", func(_, v *Node) { s.Retention = r.duration(v) }},
		{"group", func(_, v *Node) { s.Group = r.words(v, fieldPath, "the name of a payload field", true) }},
		{"on_dead", func(_, v *Node) { s.OnDead = r.word(v, "block", "skip") }},
		{"on_finish", func(_, v *Node) { s.OnFinish = r.onFinish(v) }},
		{"slo", func(_, v *Node) { r.slo(v, &s.SLO, r.durationOrNone, r.percentOrNone) }},
	}
}

func (r *reader) defaults(n *Node) *Settings {
	at := &reader{bag: r.bag, origin: "defaults"}
	s := &Settings{}
	at.mapping(n, misplaced, at.settings(s))
	return s
}

func (p *parser) policy(r *reader, key, n *Node) {
	name, ok := p.declared(r, key, snakeName, snakeWhat, maxNameLength)
	at := &reader{bag: r.bag, origin: "policy " + key.Text}
	s := &Settings{}
	at.mapping(n, misplaced, at.settings(s))
	if ok {
		p.file.Policies = append(p.file.Policies, &Policy{Name: name, Settings: s})
	}
}

func (r *reader) queueName(n *Node) Value[string] {
	text, ok := r.scalar(n, "the name of a queue")
	if !ok {
		return Value[string]{}
	}
	return value(r, n, text)
}

func (r *reader) retry(n *Node, retry *Retry) {
	hints := map[string]string{
		"attempts":    "write max_attempts, which counts the first try",
		"max_retries": "write max_attempts, which counts the first try",
		"delay":       "write base_delay",
		"factor":      "write multiplier",
		"timeout":     "it belongs one level up, beside retry",
	}
	r.mapping(n, hints, []entry{
		{"max_attempts", func(_, v *Node) { retry.MaxAttempts = r.integer(v, 1, 10_000) }},
		{"backoff", func(_, v *Node) { retry.Backoff = r.word(v, "exponential", "linear", "constant") }},
		{"base_delay", func(_, v *Node) { retry.BaseDelay = r.duration(v) }},
		{"max_delay", func(_, v *Node) { retry.MaxDelay = r.duration(v) }},
		{"multiplier", func(_, v *Node) { retry.Multiplier = r.number(v, 1, 100) }},
		{"jitter", func(_, v *Node) { retry.Jitter = r.word(v, "full", "equal", "none") }},
		{"give_up_on", func(_, v *Node) {
			retry.GiveUpOn = r.words(v, snakeName, "an error code in lower snake case", false)
		}},
	})
}

func (r *reader) idempotency(n *Node, i *Idempotency) {
	r.mapping(n, nil, []entry{
		{"key", func(_, v *Node) { i.Key = r.words(v, fieldPath, "the name of a payload field", true) }},
		{"window", func(_, v *Node) { i.Window = r.duration(v) }},
		{"on_duplicate", func(_, v *Node) {
			i.OnDuplicate = r.word(v, "existing", "reject", "replace", "debounce")
		}},
	})
}

func (r *reader) rateLimit(n *Node) RateLimit {
	if n.Kind == Scalar && n.Text == "none" {
		return RateLimit{Whole: true, Rate: value(r, n, Rate{})}
	}
	if n.Kind == Scalar && !n.IsNull() {
		return RateLimit{Whole: true, Rate: r.rate(n)}
	}
	var limit RateLimit
	r.mapping(n, nil, []entry{
		{"rate", func(_, v *Node) { limit.Rate = r.rate(v) }},
		{"burst", func(_, v *Node) { limit.Burst = r.integer(v, 1, maxRate) }},
	})
	return limit
}

// slo reads the service levels, each by the reader of its scalar.
func (r *reader) slo(n *Node, slo *SLO, startWithin func(*Node) Value[time.Duration], succeed func(*Node) Value[Percent]) {
	hints := map[string]string{
		"availability": "write succeed",
		"success":      "write succeed",
		"success_rate": "write succeed",
		"latency":      "write start_within",
		"wait":         "write start_within",
		"within":       "write start_within",
	}
	if n.IsNull() || n.Kind == Mapping && len(n.Pairs) == 0 {
		r.wrong(n, "add start_within, succeed or both, as in {start_within: 30s, succeed: 99.5%}", "the slo promises nothing")
		return
	}
	if n.Kind == Scalar {
		r.wrong(n, "write {start_within: 30s, succeed: 99.5%}, or one of the two", "a mapping is expected here, not %s", describe(n))
		return
	}
	r.mapping(n, hints, []entry{
		{"start_within", func(_, v *Node) { slo.StartWithin = startWithin(v) }},
		{"succeed", func(_, v *Node) { slo.Succeed = succeed(v) }},
	})
}

const maxConcurrency = 1_000_000

func (r *reader) concurrency(n *Node, c *Concurrency) {
	if n.Kind == Scalar && integerText.MatchString(n.Text) {
		r.wrong(n, "write concurrency: {total: "+shorten(n.Text)+"}", "a mapping is expected here, not %s", describe(n))
		return
	}
	hints := map[string]string{"per_worker": "it belongs to a queue: queues: {a_name: {concurrency: {per_worker: ...}}}"}
	r.mapping(n, hints, []entry{
		{"total", func(_, v *Node) { c.Total = r.integer(v, 1, maxConcurrency) }},
		{"by", func(_, v *Node) { c.By = r.words(v, fieldPath, "the name of a payload field", true) }},
	})
}

func (p *parser) queue(r *reader, key, n *Node) {
	name, ok := p.declared(r, key, snakeName, snakeWhat, maxNameLength)
	q := &Queue{Name: name, Description: doc(r, key)}
	r.mapping(n, nil, []entry{
		{"description", func(_, v *Node) { q.Description = r.description(v) }},
		{"go_name", func(_, v *Node) { q.GoName = r.goIdentifier(v) }},
		{"concurrency", func(_, v *Node) {
			if v.Kind == Scalar && integerText.MatchString(v.Text) {
				r.wrong(v, "write concurrency: {per_worker: "+shorten(v.Text)+"} or {total: "+shorten(v.Text)+"}", "a mapping is expected here, not %s", describe(v))
				return
			}
			hints := map[string]string{"by": "it belongs to a task: tasks: {a:name: {concurrency: {total: ..., by: ...}}}"}
			r.mapping(v, hints, []entry{
				{"per_worker", func(_, v *Node) { q.PerWorker = r.integer(v, 1, maxConcurrency) }},
				{"total", func(_, v *Node) { q.Total = r.integer(v, 1, maxConcurrency) }},
			})
		}},
		{"rate_limit", func(_, v *Node) { q.RateLimit = r.rateLimit(v) }},
		// A queue inherits nothing that `none` could unset.
		{"slo", func(_, v *Node) { r.slo(v, &q.SLO, r.duration, r.percent) }},
	})
	if ok {
		p.file.Queues = append(p.file.Queues, q)
	}
}

// doc is the comment above a key, which serves where there is no description.
func doc(r *reader, key *Node) Value[string] {
	if key.Above == "" {
		return Value[string]{}
	}
	return value(r, key, key.Above)
}
