package spec

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// TypeExpression is a type as it is written: a name, or list, map or optional
// with an element.
type TypeExpression struct {
	Name string
	Elem *TypeExpression // of list, map and optional
	// Place is where the name stands.
	Place diagnostic.Place
	Path  string
}

// maxTypeDepth bounds list<list<...>>.
const maxTypeDepth = 8

var (
	identifier    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*`)
	keyedMap      = regexp.MustCompile(`map<\s*(\w+)\s*,\s*([^<>]*(?:<.*>)?)\s*>`)
	optionalMark  = regexp.MustCompile(`^([A-Za-z][\w<>]*)\?$`)
	arraySuffix   = regexp.MustCompile(`^([A-Za-z][\w<>]*)\[\]$`)
	arrayPrefix   = regexp.MustCompile(`^\[\]([A-Za-z][\w<>]*)$`)
	pointerPrefix = regexp.MustCompile(`^\*([A-Za-z][\w<>]*)$`)
	squareBracket = regexp.MustCompile(`^(list|map|optional)\[(.+)\]$`)
)

// typeExpression reads a type. It gives nil after a mistake.
func (r *reader) typeExpression(n *Node) *TypeExpression {
	text, ok := r.scalar(n, "a type")
	if !ok {
		return nil
	}
	if message, suggestion := foreignType(text); message != "" {
		r.wrong(n, suggestion, "%s", message)
		return nil
	}
	p := typeParser{node: n, text: text}
	expression := p.parse(0)
	if p.problem == "" && p.at < len(p.text) {
		p.fail("the type goes on after its end")
	}
	if p.problem != "" {
		r.bag.Add(diagnostic.Diagnostic{
			Place:      n.Within(p.problemAt, max(1, utf8.RuneCountInString(text[p.problemAt:]))),
			Path:       n.Path,
			Message:    fmt.Sprintf("%q is not a type: %s", shorten(text), p.problem),
			Suggestion: "types look like string, list<int>, map<Money> or optional<uuid>",
		})
		return nil
	}
	return expression
}

// foreignType recognises the spellings of other languages.
func foreignType(text string) (message, suggestion string) {
	said := fmt.Sprintf("%q is not a type", shorten(text))
	if match := keyedMap.FindStringSubmatch(text); match != nil {
		return fmt.Sprintf("%q: the keys of a map are always strings", shorten(text)), fmt.Sprintf("write map<%s>", strings.TrimSpace(match[2]))
	}
	if match := optionalMark.FindStringSubmatch(text); match != nil {
		return said, fmt.Sprintf("write optional<%s>", match[1])
	}
	if match := arraySuffix.FindStringSubmatch(text); match != nil {
		return said, fmt.Sprintf("write list<%s>", match[1])
	}
	if match := arrayPrefix.FindStringSubmatch(text); match != nil {
		return said, fmt.Sprintf("write list<%s>", match[1])
	}
	if match := pointerPrefix.FindStringSubmatch(text); match != nil {
		return said, fmt.Sprintf("write optional<%s>", match[1])
	}
	if match := squareBracket.FindStringSubmatch(text); match != nil {
		return said, fmt.Sprintf("write %s<%s>", match[1], match[2])
	}
	if strings.ContainsAny(text, " \t") && !strings.ContainsAny(strings.TrimSpace(text), "?[]{}") {
		if compact := strings.Join(strings.Fields(text), ""); strings.Contains(compact, "<") {
			return said, fmt.Sprintf("write it without spaces: %s", compact)
		}
	}
	return "", ""
}

// typeParser reads name or name<type>.
type typeParser struct {
	node      *Node
	text      string
	at        int
	problem   string
	problemAt int
}

func (p *typeParser) fail(problem string) {
	if p.problem == "" {
		p.problem, p.problemAt = problem, min(p.at, max(len(p.text)-1, 0))
	}
}

func (p *typeParser) parse(depth int) *TypeExpression {
	if depth >= maxTypeDepth {
		p.fail(fmt.Sprintf("nested more than %d levels deep", maxTypeDepth))
		return nil
	}
	name := identifier.FindString(p.text[p.at:])
	if name == "" {
		p.fail("a name is expected here")
		return nil
	}
	expression := &TypeExpression{Name: name, Place: p.node.Within(p.at, len(name)), Path: p.node.Path}
	p.at += len(name)

	generic := name == "list" || name == "map" || name == "optional"
	switch opened := strings.HasPrefix(p.text[p.at:], "<"); {
	case generic && !opened:
		p.fail(fmt.Sprintf("%s needs the type of its element, as in %s<string>", name, name))
		return nil
	case !generic && opened:
		p.fail(fmt.Sprintf("%s takes no type in angle brackets", name))
		return nil
	case !generic:
		return expression
	}
	p.at++
	expression.Elem = p.parse(depth + 1)
	if p.problem != "" {
		return nil
	}
	if !strings.HasPrefix(p.text[p.at:], ">") {
		p.fail("the closing > is missing")
		return nil
	}
	p.at++
	return expression
}
