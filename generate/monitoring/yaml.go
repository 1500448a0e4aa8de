package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// writeRules writes a rule file. Strings are in JSON's quotes, which are
// YAML's too; expressions are block scalars, so that people can read them.
func writeRules(mark string, groups []ruleGroup) []byte {
	w := &yamlWriter{}
	w.comment(0, mark)
	w.comment(0, `
Recording and alert rules for Prometheus. An error budget is what a service
level leaves: 0.5% of 99.5%. Alerts fire on how fast it burns, measured over a
long and a short window at once, after The Site Reliability Workbook, chapter
5, "Alerting on SLOs": 14.4 times as fast as would spend it in 30 days over an
hour (2% of it gone) or 6 times over six hours (5%) is a page; 3 times over a
day or 1 over three days (10%) is a ticket.`)
	w.line(0, "groups:")
	for _, g := range groups {
		if g.comment != "" {
			w.line(0, "")
			w.comment(1, g.comment)
		}
		w.line(1, "- name: %s", quote(g.name))
		if g.interval != "" {
			w.line(2, "interval: %s", g.interval)
		}
		w.line(2, "rules:")
		for _, r := range g.rules {
			w.rule(r)
		}
	}
	return w.Bytes()
}

type yamlWriter struct{ bytes.Buffer }

func (w *yamlWriter) rule(r rule) {
	if r.record != "" {
		w.line(3, "- record: %s", r.record)
	} else {
		w.line(3, "- alert: %s", r.alert)
	}
	w.line(4, "expr: |-")
	for line := range strings.Lines(r.expr) {
		w.line(5, "%s", strings.TrimSuffix(line, "\n"))
	}
	if r.wait != "" {
		w.line(4, "for: %s", r.wait)
	}
	w.pairs("labels", r.labels)
	w.pairs("annotations", r.annotations)
}

func (w *yamlWriter) pairs(key string, pairs []pair) {
	if len(pairs) == 0 {
		return
	}
	w.line(4, "%s:", key)
	for _, p := range pairs {
		w.line(5, "%s: %s", p.key, quote(p.value))
	}
}

func (w *yamlWriter) line(depth int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text != "" {
		w.WriteString(strings.Repeat("  ", depth))
	}
	w.WriteString(text + "\n")
}

func (w *yamlWriter) comment(depth int, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		w.line(depth, "%s", strings.TrimSpace("# "+line))
	}
}

func quote(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string is always encoded
	return strings.TrimSuffix(b.String(), "\n")
}
