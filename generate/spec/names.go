package spec

import (
	"fmt"
	"go/token"
	"regexp"
	"strings"
	"unicode"
)

const (
	snakeForm = `[a-z][a-z0-9]*(?:_[a-z0-9]+)*`

	maxNameLength     = 64
	maxTaskNameLength = 128
)

var (
	snakeName   = regexp.MustCompile(`^` + snakeForm + `$`)
	taskName    = regexp.MustCompile(`^` + snakeForm + `(?::` + snakeForm + `)*$`)
	typeName    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	goName      = regexp.MustCompile(`^[A-Z][A-Za-z0-9_]*$`)
	fieldPath   = regexp.MustCompile(`^` + snakeForm + `(?:\.` + snakeForm + `)*$`)
	packageForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// name reads a key that declares something.
func (r *reader) name(key *Node, form *regexp.Regexp, what string, longest int) (Value[string], bool) {
	text := key.Text
	if !form.MatchString(text) {
		suggestion := ""
		if fixed := respell(text, form); fixed != "" {
			suggestion = fmt.Sprintf("write %s", fixed)
		}
		r.wrong(key, suggestion, "%q is not %s", shorten(text), what)
		return Value[string]{}, false
	}
	if len(text) > longest {
		r.wrong(key, "", "a name of %d characters; at most %d are allowed", len(text), longest)
		return Value[string]{}, false
	}
	return value(r, key, text), true
}

// declared reads the name of a declaration and remembers a refused one.
func (p *parser) declared(r *reader, key *Node, form *regexp.Regexp, what string, longest int) (Value[string], bool) {
	name, ok := r.name(key, form, what, longest)
	if !ok {
		p.file.Rejected[key.Path] = true
	}
	return name, ok
}

const (
	snakeWhat = "a name in lower snake case such as user_id"
	taskWhat  = "a task name such as email:send"
	typeWhat  = "a type name such as LineItem"
)

// respell guesses the wanted form of a name: userId and user-id become
// user_id, email.send becomes email:send, line_item becomes LineItem. It is ""
// when the guess has not the form either.
func respell(text string, form *regexp.Regexp) string {
	if form == typeName {
		parts := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for i, part := range parts {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
		return matching(strings.Join(parts, ""), form)
	}
	var b strings.Builder
	previous := rune(0)
	for _, r := range text {
		switch {
		case unicode.IsUpper(r):
			if unicode.IsLower(previous) || unicode.IsDigit(previous) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		case r == '-' || r == ' ':
			b.WriteByte('_')
		case r == '.' || r == '/':
			if form == taskName {
				b.WriteByte(':')
			} else {
				b.WriteByte('_')
			}
		default:
			b.WriteRune(r)
		}
		previous = r
	}
	return matching(b.String(), form)
}

func matching(text string, form *regexp.Regexp) string {
	if form.MatchString(text) && len(text) <= maxNameLength {
		return text
	}
	return ""
}

// goIdentifier reads a go_name: an exported Go identifier.
func (r *reader) goIdentifier(n *Node) Value[string] {
	text, ok := r.scalar(n, "a Go name")
	if !ok {
		return Value[string]{}
	}
	if !goName.MatchString(text) || len(text) > maxNameLength {
		suggestion := ""
		if fixed := respell(text, typeName); fixed != "" {
			suggestion = "write " + fixed
		}
		r.wrong(n, suggestion, "%q is not an exported Go name of at most %d characters", shorten(text), maxNameLength)
		return Value[string]{}
	}
	return value(r, n, text)
}

// packageName reads the name of the generated package.
func (r *reader) packageName(n *Node) Value[string] {
	text, ok := r.scalar(n, "the name of a Go package")
	if !ok {
		return Value[string]{}
	}
	switch {
	case !packageForm.MatchString(text) || len(text) > maxNameLength || token.IsKeyword(text):
		suggestion := ""
		if fixed := strings.ReplaceAll(respell(text, snakeName), "_", ""); fixed != "" && !token.IsKeyword(fixed) {
			suggestion = "write " + fixed
		}
		r.wrong(n, suggestion, "%q is not the name of a Go package", shorten(text))
		return Value[string]{}
	case text == "main" || text == "documentation" || strings.HasSuffix(text, "_test"):
		// Go cannot import main, ignores files of package documentation, and
		// keeps _test for tests.
		r.wrong(n, "", "a Go package named %q cannot be imported", text)
		return Value[string]{}
	}
	return value(r, n, text)
}
