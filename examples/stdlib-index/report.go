package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// report is the run in numbers. Lines and Exported sum the files that
// succeeded. Its JSON is what --json prints.
type report struct {
	Files     int     `json:"files"`
	Succeeded int     `json:"succeeded"`
	Dead      int     `json:"dead"`
	Lines     int64   `json:"lines"`
	Exported  int     `json:"exported"`
	Attempts  int     `json:"attempts"`
	Seconds   float64 `json:"seconds"` // from the first enqueue to the last result

	packages map[string]int // exported names by package
	letters  []outcome      // the dead
}

func newReport(j *job, rows []row) *report {
	r := &report{Files: len(j.payloads), Seconds: j.took.Seconds(), packages: map[string]int{}}
	for _, o := range j.outcomes {
		if o.dead != nil {
			r.Dead++
			r.letters = append(r.letters, o)
			continue
		}
		r.Succeeded++
		r.Lines += o.result.Lines
		r.Exported += o.result.Exported
		r.packages[o.payload.Package] += o.result.Exported
	}
	for _, row := range rows {
		r.Attempts += row.Attempts
	}
	return r
}

func (r *report) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

func (r *report) writeText(w io.Writer, findings []finding) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%11s files, a task each\n", thousands(r.Files))
	fmt.Fprintf(&b, "%11s succeeded: %s lines, %s exported names\n", thousands(r.Succeeded), thousands(r.Lines), thousands(r.Exported))
	fmt.Fprintf(&b, "%11s dead letters\n", thousands(r.Dead))
	fmt.Fprintf(&b, "%11s attempts in %.1f s, %s files a second\n", thousands(r.Attempts), r.Seconds, thousands(int(float64(r.Files)/r.Seconds)))

	fmt.Fprint(&b, "\nMost exported names\n")
	for _, name := range r.top(10) {
		fmt.Fprintf(&b, "%11s %s\n", thousands(r.packages[name]), name)
	}
	if r.Dead > 0 {
		fmt.Fprint(&b, "\nDead letters\n")
		r.writeDead(&b, 5)
	}
	fmt.Fprint(&b, "\nChecked against the database and the file tree\n")
	for _, f := range findings {
		verdict := "ok"
		if len(f.problems) > 0 {
			verdict = "NOT OK"
		}
		fmt.Fprintf(&b, "%11s %s\n", verdict, f.what)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// top lists the n packages with the most exported names.
func (r *report) top(n int) []string {
	names := slices.SortedFunc(maps.Keys(r.packages), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.packages[b], r.packages[a]), cmp.Compare(a, b))
	})
	return names[:min(n, len(names))]
}

func (r *report) writeDead(w io.Writer, n int) {
	for i, o := range r.letters {
		if i == n {
			fmt.Fprintf(w, "            ... and %s more\n", thousands(r.Dead-n))
			return
		}
		fmt.Fprintf(w, "            %s\n", o.dead.Message)
	}
}

// state is how the task ended, as its handle tells.
func (o *outcome) state() orchestrator.State {
	if o.dead != nil {
		return o.dead.State
	}
	return orchestrator.Succeeded
}

// thousands writes 1234567 as 1,234,567.
func thousands[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
