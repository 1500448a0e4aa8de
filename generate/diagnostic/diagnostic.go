package diagnostic

import (
	"errors"
	"fmt"
	"strings"
)

// Position is a place in a spec file. Line and Column count from 1; Column
// counts characters, not bytes.
type Position struct {
	File         string
	Line, Column int
}

// String renders the position as compilers do: file:line:column.
func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Place is a position together with what stands there.
type Place struct {
	Position
	// Length is how many characters the carets underline. A rendering always
	// shows at least one.
	Length int
	// Source is the whole line, without its end.
	Source string
}

// Diagnostic is one mistake.
type Diagnostic struct {
	Place
	// Path leads to the mistake through the spec: `tasks.email:send.queue`.
	// It is empty where there is no such path, as in a YAML syntax error.
	Path string
	// Message says what is wrong.
	Message string
	// Suggestion says how to mend it; it may be empty.
	Suggestion string
	// Related are the other places that take part, such as the first of two
	// declarations.
	Related []Related
}

// Related is a further place a diagnostic speaks of.
type Related struct {
	Place
	Message string
}

// String is the first line of the text rendering.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.Position.String())
	b.WriteString(": ")
	if d.Path != "" {
		b.WriteString(d.Path)
		b.WriteString(": ")
	}
	b.WriteString(d.Message)
	if d.Suggestion != "" {
		b.WriteString("; ")
		b.WriteString(d.Suggestion)
	}
	return b.String()
}

// List is the diagnostics of one run, sorted by position.
type List []Diagnostic

// Err is nil when the list is empty; otherwise an error whose text is the
// whole rendering.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	var b strings.Builder
	if err := l.WriteText(&b); err != nil {
		return err
	}
	return errors.New(strings.TrimSuffix(b.String(), "\n"))
}
