package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Trace is a trace as Jaeger's API returns it.
type Trace struct {
	TraceID   string
	Spans     []Span
	Processes map[string]struct{ ServiceName string }
}

// Span is one span of it.
type Span struct {
	TraceID       string
	SpanID        string
	OperationName string
	References    []Reference
	StartTime     int64 // microseconds since 1970
	Duration      int64 // microseconds
	Tags          []Tag
	Logs          []struct{ Fields []Tag }
	ProcessID     string
}

// Reference is CHILD_OF for a parent and FOLLOWS_FROM for a link.
type Reference struct{ RefType, TraceID, SpanID string }

// Tag is an attribute.
type Tag struct {
	Key   string
	Value any
}

// Tag is the value of an attribute, "" when there is none. Numbers are whole.
func (s *Span) Tag(key string) string { return tag(s.Tags, key) }

func tag(tags []Tag, key string) string {
	for _, t := range tags {
		if t.Key != key {
			continue
		}
		if n, ok := t.Value.(float64); ok {
			return fmt.Sprintf("%.0f", n)
		}
		return fmt.Sprint(t.Value)
	}
	return ""
}

// Parent is the id of the parent span, "" for a root.
func (s *Span) Parent() string {
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" {
			return r.SpanID
		}
	}
	return ""
}

// Links are the spans that s has a link to.
func (s *Span) Links() []Reference {
	var links []Reference
	for _, r := range s.References {
		if r.RefType == "FOLLOWS_FROM" {
			links = append(links, r)
		}
	}
	return links
}

// Service is the name of the service that made the span.
func (t *Trace) Service(s *Span) string { return t.Processes[s.ProcessID].ServiceName }

// Named returns the spans with an operation name, in the order of their start.
func (t *Trace) Named(operation string) []Span {
	var found []Span
	for _, s := range t.Spans {
		if s.OperationName == operation {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, byStart)
	return found
}

func byStart(a, b Span) int { return cmp.Compare(a.StartTime, b.StartTime) }

// start is when the trace began.
func (t *Trace) start() int64 {
	first := t.Spans[0].StartTime
	for _, s := range t.Spans {
		first = min(first, s.StartTime)
	}
	return first
}

// Tree writes traces as trees, the one that began first at the top. Spans have
// names, so that a link in a later trace tells to which of them it leads.
func Tree(traces []Trace) string {
	traces = slices.Clone(traces)
	slices.SortFunc(traces, func(a, b Trace) int { return cmp.Compare(a.start(), b.start()) })
	names := map[string]string{} // span id -> what a link to it says
	for _, t := range traces {
		for i := range t.Spans {
			s := &t.Spans[i]
			names[s.SpanID] = s.OperationName
			if attempt := s.Tag("orchestrator.task.attempt"); attempt != "" {
				names[s.SpanID] += " (attempt " + attempt + ")"
			}
		}
	}
	var out strings.Builder
	for _, t := range traces {
		fmt.Fprintf(&out, "trace %s\n", t.TraceID)
		there := map[string]bool{}
		for _, s := range t.Spans {
			there[s.SpanID] = true
		}
		var roots []Span
		children := map[string][]Span{}
		for _, s := range t.Spans {
			if parent := s.Parent(); there[parent] {
				children[parent] = append(children[parent], s)
			} else {
				roots = append(roots, s)
			}
		}
		branches(&out, &t, roots, children, names, "")
	}
	return out.String()
}

func branches(out *strings.Builder, t *Trace, spans []Span, children map[string][]Span, names map[string]string, indent string) {
	slices.SortFunc(spans, byStart)
	for i := range spans {
		s := &spans[i]
		branch, below := "├─ ", "│  "
		if i == len(spans)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintf(out, "%s%s%s  %s\n", indent, branch, describe(t, s), time.Duration(s.Duration)*time.Microsecond)
		for _, link := range s.Links() {
			if name, known := names[link.SpanID]; known {
				fmt.Fprintf(out, "%s%s     ↳ linked to %s\n", indent, below, name)
			}
		}
		branches(out, t, children[s.SpanID], children, names, indent+below)
	}
}

// describe tells a span in one line.
func describe(t *Trace, s *Span) string {
	text := fmt.Sprintf("%s: %s", t.Service(s), s.OperationName)
	for _, one := range []struct{ key, word string }{
		{"orchestrator.task.type", ""}, {"orchestrator.task.attempt", "attempt "}, {"orchestrator.task.outcome", ""},
		{"error.type", "error.type="}, {"otel.status_description", ""},
	} {
		if value := s.Tag(one.key); value != "" {
			text += ", " + one.word + value
		}
	}
	return text
}
