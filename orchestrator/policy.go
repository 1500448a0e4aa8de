package orchestrator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
)

// Policy is what can be overridden of a task type's policy at run time. Zero
// fields stay as they are. [ParsePolicy] reads one from text.
type Policy struct {
	Timeout     *time.Duration // of one attempt; 0 is none
	MaxAttempts int
	Backoff     Backoff
	BaseDelay   time.Duration
	MaxDelay    time.Duration
	Multiplier  float64
	Jitter      Jitter
}

// MaxPolicyTime is the longest that [Client.SetPolicy] overrides a policy:
// what is to stay belongs in the spec.
const MaxPolicyTime = 30 * 24 * time.Hour

// policyKey is one setting of a Policy: its name in the spec, what it may be,
// and how it is read and written.
type policyKey struct {
	name, want string
	set        func(p *Policy, text string) bool // false: not what it may be
	get        func(p *Policy) string            // "": not set
}

var policyKeys = []policyKey{
	{"timeout", "a duration such as 30s, 5m or 1d12h, or none",
		func(p *Policy, text string) bool {
			d, ok := parseSpan(text)
			if text == "none" {
				d, ok = 0, true
			}
			p.Timeout = &d
			return ok
		},
		func(p *Policy) string {
			switch {
			case p.Timeout == nil:
				return ""
			case *p.Timeout == 0:
				return "none"
			}
			return p.Timeout.String()
		}},
	{"max_attempts", "a whole number from 1 to 10000",
		func(p *Policy, text string) (ok bool) {
			n, err := strconv.Atoi(text)
			p.MaxAttempts = n
			return err == nil && n >= 1 && n <= 10_000
		},
		func(p *Policy) string { return unlessZero(p.MaxAttempts, strconv.Itoa) }},
	{"backoff", "exponential, linear or constant",
		func(p *Policy, text string) bool { return oneOf(&p.Backoff, text, Exponential, Linear, Constant) },
		func(p *Policy) string { return string(p.Backoff) }},
	{"base_delay", "a duration such as 500ms, 10s or 2m",
		func(p *Policy, text string) (ok bool) { p.BaseDelay, ok = parseSpan(text); return ok },
		func(p *Policy) string { return unlessZero(p.BaseDelay, time.Duration.String) }},
	{"max_delay", "a duration such as 1m, 6h or 1d",
		func(p *Policy, text string) (ok bool) { p.MaxDelay, ok = parseSpan(text); return ok },
		func(p *Policy) string { return unlessZero(p.MaxDelay, time.Duration.String) }},
	{"multiplier", "a number from 1 to 100",
		func(p *Policy, text string) bool {
			n, err := strconv.ParseFloat(text, 64)
			p.Multiplier = n
			return err == nil && n >= 1 && n <= 100
		},
		func(p *Policy) string {
			return unlessZero(p.Multiplier, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) })
		}},
	{"jitter", "full, equal or none",
		func(p *Policy, text string) bool { return oneOf(&p.Jitter, text, FullJitter, EqualJitter, NoJitter) },
		func(p *Policy) string { return string(p.Jitter) }},
}

func unlessZero[T comparable](v T, format func(T) string) string {
	if v == *new(T) {
		return ""
	}
	return format(v)
}

func oneOf[T ~string](target *T, text string, allowed ...T) bool {
	for _, v := range allowed {
		if text == string(v) {
			*target = v
			return true
		}
	}
	return false
}

// parseSpan reads a duration as the spec writes them: Go's, and d for days.
func parseSpan(text string) (time.Duration, bool) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < 0 || n > 36_500 || !found && rest == "" {
		return 0, false
	}
	var part time.Duration
	if rest != "" {
		if part, err = time.ParseDuration(rest); err != nil || part < 0 {
			return 0, false
		}
	}
	d := time.Duration(n)*24*time.Hour + part
	return d, d > 0
}

// ParsePolicy reads settings such as "timeout=2m" and "max_attempts=3", by the
// names that they have in the spec. The error lists everything that is wrong.
func ParsePolicy(settings ...string) (Policy, error) {
	var p Policy
	var errs []error
	seen := map[string]bool{}
	for _, setting := range settings {
		name, text, found := strings.Cut(setting, "=")
		name, text = strings.TrimPrefix(strings.TrimSpace(name), "retry."), strings.TrimSpace(text)
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("orchestrator: policy setting %q: want NAME=VALUE, such as timeout=2m", setting))
		case seen[name]:
			errs = append(errs, fmt.Errorf("orchestrator: policy setting %s is there twice", name))
		default:
			seen[name] = true
			errs = append(errs, p.set(name, text))
		}
	}
	return p, errors.Join(errs...)
}

func (p *Policy) set(name, text string) error {
	names := make([]string, len(policyKeys))
	for i, key := range policyKeys {
		if key.name == name {
			if !key.set(p, text) {
				return fmt.Errorf("orchestrator: policy setting %s=%s: want %s", name, text, key.want)
			}
			return nil
		}
		names[i] = key.name
	}
	if near := nearest.Names(name, names, 1); len(near) > 0 {
		return fmt.Errorf("orchestrator: no policy setting %q; did you mean %s?", name, near[0])
	}
	return fmt.Errorf("orchestrator: no policy setting %q that can be overridden at run time: want %s", name, strings.Join(names, ", "))
}

// Settings is the policy as [ParsePolicy] reads it.
func (p *Policy) Settings() []string {
	var settings []string
	for _, key := range policyKeys {
		if text := key.get(p); text != "" {
			settings = append(settings, key.name+"="+text)
		}
	}
	return settings
}

// String is the settings in one line.
func (p *Policy) String() string { return strings.Join(p.Settings(), " ") }

// MarshalJSON writes an object of strings, by the names in the spec.
func (p *Policy) MarshalJSON() ([]byte, error) {
	texts := map[string]string{}
	for _, key := range policyKeys {
		if text := key.get(p); text != "" {
			texts[key.name] = text
		}
	}
	return json.Marshal(texts)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Policy) UnmarshalJSON(text []byte) error {
	var texts map[string]string
	if err := json.Unmarshal(text, &texts); err != nil {
		return err
	}
	settings := make([]string, 0, len(texts))
	for name, value := range texts {
		settings = append(settings, name+"="+value)
	}
	read, err := ParsePolicy(settings...)
	*p = read
	return err
}

// policyOf reads a stored policy; nil for none.
func policyOf(text []byte) (*Policy, error) {
	if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	p := new(Policy)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, err
	}
	return p, nil
}

// checked is an error when nothing is set, or to what ParsePolicy would refuse.
func (p *Policy) checked() error {
	settings := p.Settings()
	if len(settings) == 0 {
		return errors.New("orchestrator: a policy without settings overrides nothing: set one, such as timeout=2m, or clear the policy")
	}
	_, err := ParsePolicy(settings...)
	return err
}

// SetPolicy overrides parts of a task type's policy on all workers, from now
// until lasts is over, in database time, and returns when that is. It beats
// what workers were compiled with and what tasks were enqueued with. A timeout
// holds for attempts that start from then on, the rest for attempts that fail
// from then on. It replaces an override that is there.
//
// lasts is at most [MaxPolicyTime]. An [*UnknownTaskError] says that there is
// no such type; see [EvenUnknown].
func (c *Client) SetPolicy(ctx context.Context, taskType string, policy Policy, lasts time.Duration, opts ...SettingOption) (expires time.Time, err error) {
	if err := policy.checked(); err != nil {
		return expires, err
	}
	if lasts < time.Second || lasts > MaxPolicyTime {
		return expires, fmt.Errorf("orchestrator: policy of %s for %s: want 1s to %s; what is to stay belongs in the spec", taskType, lasts, MaxPolicyTime)
	}
	if err := c.checkType(ctx, taskType, opts); err != nil {
		return expires, err
	}
	text, err := json.Marshal(&policy)
	if err != nil {
		return expires, err
	}
	expires, err = c.store.SetPolicy(ctx, taskType, string(text), lasts)
	if err == nil {
		c.wakeups.changed()
	}
	return expires.UTC(), err
}

// ClearPolicy ends what SetPolicy began. Clearing what is not set does nothing.
func (c *Client) ClearPolicy(ctx context.Context, taskType string) error {
	return c.change(ctx, c.checkType(ctx, taskType, nil), c.store.ClearPolicy, taskType)
}

// policy is what overrides the policy of a task type now, or nil.
func (c *control) policy(taskType string) *Policy {
	current := c.current.Load()
	if len(current.types) == 0 {
		return nil
	}
	t := current.types[taskType]
	if t.policy == nil || !time.Now().Before(t.until) {
		return nil
	}
	return t.policy
}

// retryOf is the policy by which j is judged now.
func (w *Worker) retryOf(j *job) *RetryPolicy {
	declared := &j.route.definition.Retry
	policy := w.control.policy(j.route.definition.Name)
	if policy == nil {
		return declared
	}
	changed := *declared
	changed.MaxAttempts = cmp.Or(policy.MaxAttempts, changed.MaxAttempts)
	changed.Backoff = cmp.Or(policy.Backoff, changed.Backoff)
	changed.BaseDelay = cmp.Or(policy.BaseDelay, changed.BaseDelay)
	changed.MaxDelay = cmp.Or(policy.MaxDelay, changed.MaxDelay)
	changed.Multiplier = cmp.Or(policy.Multiplier, changed.Multiplier)
	changed.Jitter = cmp.Or(policy.Jitter, changed.Jitter)
	return &changed
}
