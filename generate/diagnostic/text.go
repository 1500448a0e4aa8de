package diagnostic

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// WriteText renders the list for people, in the manner of compilers:
//
//	tasks.yaml:14:5: tasks.email:send.quue: unknown key "quue"; did you mean "queue"?
//	  14 |     quue: email
//	     |     ^^^^
//
// A related place follows as a note in the same form.
func (l List) WriteText(w io.Writer) error {
	var b strings.Builder
	var e excerpts
	for _, d := range l {
		b.WriteString(printable(d.String()))
		b.WriteByte('\n')
		e.write(&b, d.Place)
		for _, r := range d.Related {
			fmt.Fprintf(&b, "%s: note: %s\n", r.Position, printable(r.Message))
			e.write(&b, r.Place)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Longer source lines are cut around the caret, so that a generated file does
// not flood the terminal.
const (
	longestLine   = 160
	columnsBefore = 100
	columnsAfter  = 60
)

// excerpts writes source lines with carets under them. It keeps the line it
// wrote last, for files that are one very long line with many mistakes.
type excerpts struct {
	source string
	line   []rune // the source, made printable; columns count characters
}

func (e *excerpts) write(b *strings.Builder, p Place) {
	if e.source != p.Source || e.line == nil {
		e.source, e.line = p.Source, []rune(printable(p.Source))
	}
	line := e.line
	start := min(max(p.Column-1, 0), len(line))
	end := min(start+max(p.Length, 1), max(len(line), start+1))

	from, to := 0, len(line)
	if len(line) > longestLine {
		from = max(0, start-columnsBefore)
		to = min(to, start+columnsAfter)
		end = max(min(end, to), start+1)
	}

	number := strconv.Itoa(p.Line)
	fmt.Fprintf(b, "  %s | %s\n", number, clipped(line, from, to))
	fmt.Fprintf(b, "  %s | ", strings.Repeat(" ", len(number)))
	if from > 0 {
		b.WriteByte(' ') // under the ellipsis
	}
	for _, r := range line[from:start] {
		if r == '\t' {
			b.WriteByte('\t') // a tab is as wide below as it is above
			continue
		}
		b.WriteString(strings.Repeat(" ", runeWidth(r)))
	}
	carets := 0
	for i := start; i < end; i++ {
		if i < len(line) {
			carets += runeWidth(line[i])
		} else {
			carets++
		}
	}
	b.WriteString(strings.Repeat("^", max(carets, 1)))
	b.WriteByte('\n')
}

// clipped is line[from:to] with an ellipsis at each end that was cut.
func clipped(line []rune, from, to int) string {
	text := string(line[from:to])
	if from > 0 {
		text = "…" + text
	}
	if to < len(line) {
		text += "…"
	}
	return strings.TrimRight(text, " ")
}

// printable replaces what a terminal would obey instead of show. The number of
// characters stays, so columns hold.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsGraphic(r) || unicode.Is(unicode.Mn, r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
