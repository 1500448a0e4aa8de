package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// Report is a run.
type Report struct {
	Facts       []lab.Fact
	Contestants []lab.Fact // version and settings of each
	Rounds      int
	Scale       float64
	Outcomes    []lab.Outcome
}

// Write writes the report.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWritten by `make bench`, on the machine described here. Contestants take turns in every round, on one PostgreSQL; each runs in a\n" +
		"process of its own on a fresh database. A figure is the median of the rounds, with the least and the most; a ratio is the median of\nthe rounds' own ratios.\n")
	if r.Scale != 1 {
		fmt.Fprintf(&b, "\n**Scale %g: a run for trying out. Its figures say nothing about speed.**\n", r.Scale)
	}
	facts(&b, "Where", "", append(r.Facts, lab.Fact{Name: "rounds", Value: strconv.Itoa(r.Rounds)}))
	facts(&b, "Who", "contestant", r.Contestants)
	for _, o := range r.Outcomes {
		outcome(&b, o)
	}
	r.targets(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func facts(b *strings.Builder, title, name string, all []lab.Fact) {
	fmt.Fprintf(b, "\n## %s\n\n| %s | |\n|---|---|\n", title, name)
	for _, f := range all {
		fmt.Fprintf(b, "| %s | %s |\n", f.Name, cell(f.Value))
	}
}

// column is one of a case's table; contestants that have no such figure have
// an empty cell.
type column struct {
	title string
	of    func(lab.Measure) (float64, bool)
	show  func(float64) string
	whole bool // with the least and the most
}

// columns are those for which somebody has a figure.
func columns(o lab.Outcome) []column {
	all := []column{{o.Case.Unit, func(m lab.Measure) (float64, bool) { return m.Value, true }, number, true}}
	seen := map[string]bool{}
	for _, round := range o.Rounds {
		for _, name := range o.Contestants {
			for _, f := range round[name].Figures {
				if !seen[f.Name] {
					seen[f.Name] = true
					all = append(all, column{strings.TrimSpace(f.Name + " " + f.Unit), figure(f.Name), number, true})
				}
			}
		}
	}
	for _, c := range []column{
		{"transactions", positive(func(m lab.Measure) float64 { return float64(m.Transactions) }), number, false},
		{"commits/task", perTask(func(m lab.Measure) float64 { return float64(m.Transactions) }), number, false},
		{"WAL MB", positive(func(m lab.Measure) float64 { return float64(m.WALBytes) / 1e6 }), number, false},
		{"WAL bytes/task", perTask(func(m lab.Measure) float64 { return float64(m.WALBytes) }), number, false},
		{"CPU s, contestant", positive(func(m lab.Measure) float64 { return m.CPU.Seconds() }), number, false},
		{"CPU s, PostgreSQL", positive(func(m lab.Measure) float64 { return m.ServerCPU.Seconds() }), number, false},
		{"CPU µs/task, both", perTask(func(m lab.Measure) float64 { return float64((m.CPU + m.ServerCPU).Microseconds()) }), number, false},
		{"memory MB", positive(func(m lab.Measure) float64 { return float64(m.MaxRSS) / 1e6 }), number, false},
	} {
		for _, name := range o.Contestants {
			if _, has := o.Over(name, c.of); has {
				all = append(all, c)
				break
			}
		}
	}
	return all
}

func figure(name string) func(lab.Measure) (float64, bool) {
	return func(m lab.Measure) (float64, bool) {
		for _, f := range m.Figures {
			if f.Name == name {
				return f.Value, true
			}
		}
		return 0, false
	}
}

func positive(of func(lab.Measure) float64) func(lab.Measure) (float64, bool) {
	return func(m lab.Measure) (float64, bool) { return of(m), of(m) > 0 }
}

func perTask(of func(lab.Measure) float64) func(lab.Measure) (float64, bool) {
	return func(m lab.Measure) (float64, bool) {
		return of(m) / float64(max(1, m.Tasks)), m.Tasks > 0 && of(m) > 0
	}
}

func outcome(b *strings.Builder, o lab.Outcome) {
	fmt.Fprintf(b, "\n## %s\n\n", o.Case.Title)
	for _, note := range o.Case.Notes {
		fmt.Fprintf(b, "%s\n", note)
	}
	if len(o.Case.Notes) > 0 {
		b.WriteString("\n")
	}
	cols := columns(o)
	b.WriteString("| " + o.Case.Name + " |")
	for _, c := range cols {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(cols)) + "\n")
	for _, name := range o.Contestants {
		b.WriteString("| " + name + " |")
		for _, c := range cols {
			text := ""
			if s, has := o.Over(name, c.of); has {
				if text = c.show(s.Median); c.whole {
					text += " (" + c.show(s.Min) + " .. " + c.show(s.Max) + ")"
				}
			}
			b.WriteString(" " + text + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	courses(b, o)
	for _, name := range o.Case.Contestants {
		if reason, absent := o.Absent[name]; absent {
			fmt.Fprintf(b, "Without %s: %s.\n", name, cell(reason))
		}
	}
	for _, v := range o.Verdicts() {
		fmt.Fprintf(b, "- %s: %s\n", wanted(v.Target), reached(v))
	}
	if len(o.Fsync) > 0 {
		b.WriteString("\nfsync before each round, p50 (most):")
		for i, f := range o.Fsync {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, " %s (%s) ms", milliseconds(f.P50), milliseconds(f.Max))
		}
		fmt.Fprintf(b, ". The case took %s.\n", o.Took.Round(time.Second))
	}
	if o.Err != nil {
		fmt.Fprintf(b, "\n**Broken off**: %s\n", cell(o.Err.Error()))
	}
}

// courses are those of the last round.
func courses(b *strings.Builder, o lab.Outcome) {
	if len(o.Rounds) == 0 {
		return
	}
	for _, name := range o.Contestants {
		c := o.Rounds[len(o.Rounds)-1][name].Course
		if c == nil {
			continue
		}
		fmt.Fprintf(b, "How it went on, %s:\n\n| %s |\n|%s\n", name, strings.Join(c.Columns, " | "), strings.Repeat("---:|", len(c.Columns)))
		for _, row := range c.Rows {
			b.WriteString("|")
			for _, value := range row {
				b.WriteString(" " + number(value) + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
}

func (r Report) targets(b *strings.Builder) {
	b.WriteString("\n## Targets\n\n| case | target | reached | |\n|---|---|---|---|\n")
	for _, o := range r.Outcomes {
		for _, v := range o.Verdicts() {
			verdict := "not met"
			switch {
			case v.Open != "":
				verdict = "open"
			case v.Met:
				verdict = "met"
			}
			text := cell(v.Open)
			if v.Open == "" {
				text = spread(v)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", o.Case.Name, wanted(v.Target), text, verdict)
		}
	}
}

// wanted says a target in words.
func wanted(t lab.Target) string {
	bound := fmt.Sprintf("at least %g", t.AtLeast)
	if t.AtMost != 0 {
		bound = fmt.Sprintf("at most %g", t.AtMost)
	}
	of := t.Contestant
	if t.Figure != "" {
		of += ", " + t.Figure
	}
	if t.Against != "" {
		return of + ": " + bound + " × " + t.Against
	}
	return of + ": " + bound
}

func reached(v lab.Verdict) string {
	switch {
	case v.Open != "":
		return cell(v.Open)
	case v.Met:
		return spread(v) + ", met"
	default:
		return spread(v) + ", **not met**"
	}
}

func spread(v lab.Verdict) string {
	return fmt.Sprintf("%s (%s .. %s)", number(v.Reached.Median), number(v.Reached.Min), number(v.Reached.Max))
}

// number shows three digits or more, thousands apart.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 100:
		return thousands(strconv.FormatInt(int64(math.Round(v)), 10))
	case abs >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func thousands(digits string) string {
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

func milliseconds(d time.Duration) string { return number(float64(d) / float64(time.Millisecond)) }

// cell keeps a text within a cell of a table.
func cell(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return strings.ReplaceAll(text, "|", "\\|")
}
