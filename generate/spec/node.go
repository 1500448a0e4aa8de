package spec

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// Kind says what a Node is.
type Kind int

// The kinds of nodes. Invalid stands where a construct was refused and
// reported; readers pass over it in silence.
const (
	Invalid Kind = iota
	Scalar
	Mapping
	Sequence
)

// Style says how a scalar is written.
type Style int

// The styles of scalars.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Block // | or >
)

// Class is what a YAML library would take a scalar for. The grammar decides by
// its own types; the class serves to recognise null and to warn of text that
// other tools would not read as text.
type Class int

// The classes of scalars.
const (
	Text Class = iota
	Null
	Bool
	Number
)

// Node is a YAML value with its place and its path.
type Node struct {
	Kind  Kind
	Text  string // of a Scalar
	Style Style  // of a Scalar
	Class Class  // of a Scalar
	Flow  bool   // a Mapping or Sequence in braces or brackets
	Pairs []Pair // of a Mapping, duplicates removed
	Items []*Node
	Place diagnostic.Place
	// Path leads here from the root: `tasks.email:send.retry.give_up_on[0]`. A
	// key has the path of its value.
	Path string
	// Above is the comment above a key, without the number signs.
	Above string
	// Behind is the comment that follows a scalar on its line, with the number
	// sign.
	Behind string
}

// Pair is an entry of a mapping.
type Pair struct{ Key, Value *Node }

// IsNull tells whether the node is a null, written or left out.
func (n *Node) IsNull() bool { return n.Kind == Scalar && n.Class == Null }

// Within is the place of a part of a scalar: length characters from the given
// byte offset of its text. It is the scalar's own place where source and text
// differ.
func (n *Node) Within(offset, length int) diagnostic.Place {
	place := n.Place
	shift := 0
	switch {
	case n.Style == Block || strings.ContainsAny(n.Text, "\n\\'\""):
		return place
	case n.Style != Plain:
		shift = 1
	}
	place.Column += shift + utf8.RuneCountInString(n.Text[:offset])
	place.Length = length
	return place
}

// source is the text of one file by lines.
type source struct {
	name  string
	lines []string
	// starts caches, for lines that are not ASCII, the byte offset of each
	// character, so that a very long line does not cost quadratic time.
	starts map[int][]int
}

func newSource(name string, content []byte) *source {
	text := strings.TrimPrefix(string(content), "\ufeff")
	// YAML's own line breaks, so that line numbers agree with the library's.
	text = lineBreaks.Replace(text)
	return &source{name: name, lines: strings.Split(text, "\n"), starts: make(map[int][]int)}
}

var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// line is the text of a line counted from 1; "" outside the file.
func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	return s.lines[number-1]
}

// place is the place of length characters.
func (s *source) place(line, column, length int) diagnostic.Place {
	return diagnostic.Place{
		Position: diagnostic.Position{File: s.name, Line: line, Column: column},
		Length:   length,
		Source:   s.line(line),
	}
}

// wholeLine is the place of a line's content without indentation.
func (s *source) wholeLine(line int) diagnostic.Place {
	text := s.line(line)
	content := strings.TrimLeft(text, " \t")
	column := utf8.RuneCountInString(text) - utf8.RuneCountInString(content) + 1
	return s.place(line, column, utf8.RuneCountInString(strings.TrimRight(content, " \t")))
}

// from is the rest of a line from a column counted from 1.
func (s *source) from(line, column int) string {
	text := s.line(line)
	starts, cached := s.starts[line]
	if !cached {
		if utf8.RuneCountInString(text) != len(text) {
			for offset := range text {
				starts = append(starts, offset)
			}
		}
		s.starts[line] = starts
	}
	switch {
	case starts == nil:
		return text[min(column-1, len(text)):]
	case column > len(starts):
		return ""
	default:
		return text[starts[column-1]:]
	}
}

// commentAbove joins the comment lines directly above a key, at the key's own
// indentation. The lines are read from the source rather than taken from the
// YAML library, which attaches some comments to the neighbour before. A block
// scalar's lines are indented deeper than the next key and cannot be mistaken.
func (s *source) commentAbove(line, column int) string {
	if indentation(s.line(line)) != column-1 {
		return "" // the key is not the first thing on its line
	}
	var comment []string
	for number := line - 1; number >= 1; number-- {
		text := s.line(number)
		if indentation(text) != column-1 || !strings.HasPrefix(text[column-1:], "#") {
			break
		}
		comment = append(comment, strings.TrimSpace(strings.TrimLeft(text[column-1:], "#")))
	}
	slices.Reverse(comment)
	return strings.TrimSpace(strings.Join(comment, "\n"))
}

// indentation is the number of spaces a line begins with.
func indentation(line string) int {
	return len(line) - len(strings.TrimLeft(line, " "))
}
