package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// Bounds on what is read. They are far above any spec a team would write and
// keep a hostile file from costing time or memory.
const (
	maxFileSize  = 2 << 20
	maxFiles     = 1000
	maxDepth     = 32
	maxKeyLength = 200
)

// decode turns one file into a node tree. It reports what no part of the
// grammar allows and returns nil when there is no tree to go on with.
func decode(src *source, content []byte, bag *diagnostic.Bag) *Node {
	if len(content) > maxFileSize {
		bag.Add(diagnostic.Diagnostic{
			Place:      src.place(1, 1, 1),
			Message:    fmt.Sprintf("the file has %d bytes; at most %d are read", len(content), maxFileSize),
			Suggestion: "split it with include",
		})
		return nil
	}
	if line, column, bad := invalidUTF8(src); bad {
		bag.Add(diagnostic.Diagnostic{
			Place:      src.place(line, column, 1),
			Message:    "the file is not UTF-8",
			Suggestion: "save it as UTF-8",
		})
		return nil
	}

	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		bag.Add(diagnostic.Diagnostic{
			Place:      src.place(1, 1, 1),
			Message:    "the file is empty",
			Suggestion: "start with `version: 1`",
		})
		return nil
	case err != nil:
		bag.Add(syntaxError(src, err))
		return nil
	}

	c := converter{src: src, bag: bag}
	root := c.node(document.Content[0], "", 0)

	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		bag.Add(syntaxError(src, err))
		return nil
	default:
		line := max(second.Line, 1)
		bag.Add(diagnostic.Diagnostic{
			Place:      src.wholeLine(line),
			Message:    "a second YAML document; a spec file holds one",
			Suggestion: "remove the line `---`, or move the rest to a file of its own and include it",
		})
	}
	return root
}

// invalidUTF8 finds the first byte that is not UTF-8.
func invalidUTF8(src *source) (line, column int, bad bool) {
	for i, text := range src.lines {
		if utf8.ValidString(text) {
			continue
		}
		column := 1
		for len(text) > 0 {
			r, size := utf8.DecodeRuneInString(text)
			if r == utf8.RuneError && size == 1 {
				return i + 1, column, true
			}
			text = text[size:]
			column++
		}
	}
	return 0, 0, false
}

// converter turns YAML nodes into ours and reports what the spec refuses
// everywhere.
type converter struct {
	src *source
	bag *diagnostic.Bag
}

func (c *converter) node(in *yaml.Node, path string, depth int) *Node {
	out := &Node{Place: c.place(in), Path: path}
	switch {
	case depth > maxDepth:
		c.refuse(out, fmt.Sprintf("nested more than %d levels deep", maxDepth), "")
		return out
	case in.Kind == yaml.AliasNode:
		out.Place.Length = utf8.RuneCountInString(in.Value) + 1
		c.refuse(out, noAliases, insteadOfThem)
		return out
	case in.Anchor != "":
		out.Place = c.src.place(in.Line, in.Column, utf8.RuneCountInString(in.Anchor)+1)
		c.refuse(out, noAnchors, insteadOfThem)
		return out
	case in.Style&yaml.TaggedStyle != 0:
		out.Place = c.src.place(in.Line, in.Column, max(1, utf8.RuneCountInString(in.Tag)))
		c.refuse(out, fmt.Sprintf("YAML tags such as %s are not part of the spec language", in.Tag), "write the value alone; the spec's own types say how it is read")
		return out
	}

	switch in.Kind {
	case yaml.ScalarNode:
		out.Kind = Scalar
		out.Text = in.Value
		out.Style = style(in)
		out.Class = class(in)
		out.Behind = in.LineComment
	case yaml.SequenceNode:
		out.Kind = Sequence
		out.Flow = in.Style&yaml.FlowStyle != 0
		for i, item := range in.Content {
			out.Items = append(out.Items, c.node(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case yaml.MappingNode:
		out.Kind = Mapping
		out.Flow = in.Style&yaml.FlowStyle != 0
		c.pairs(out, in, depth)
	}
	return out
}

// pairs reads a mapping's entries and drops those whose key is no key.
func (c *converter) pairs(out *Node, in *yaml.Node, depth int) {
	seen := make(map[string]*Node, len(in.Content)/2)
	for i := 0; i+1 < len(in.Content); i += 2 {
		rawKey, rawValue := in.Content[i], in.Content[i+1]
		key := &Node{Place: c.place(rawKey), Path: out.Path}
		switch {
		case rawKey.Kind != yaml.ScalarNode || rawKey.Anchor != "" || rawKey.Style&yaml.TaggedStyle != 0:
			message := "a key is a plain word"
			if out.Flow && rawKey.Kind == yaml.MappingNode {
				message = "{{...}} is not filled in, and means something else to YAML"
			}
			c.refuse(key, message, "")
			if len(in.Content) == 2 {
				out.Kind = Invalid // nothing is left to complain about
			}
			continue
		case rawKey.ShortTag() == "!!merge":
			c.refuse(key, "YAML merge keys are not part of the spec language", "name the shared settings under `policies` and refer to them with `policy:`")
			continue
		case len(rawKey.Value) > maxKeyLength:
			c.refuse(key, fmt.Sprintf("a key of %d characters; at most %d are read", len(rawKey.Value), maxKeyLength), "")
			continue
		}

		key.Kind = Scalar
		key.Text = rawKey.Value
		key.Style = style(rawKey)
		key.Class = class(rawKey)
		key.Path = join(out.Path, rawKey.Value)
		key.Above = c.src.commentAbove(rawKey.Line, rawKey.Column)

		if first, duplicate := seen[key.Text]; duplicate {
			c.bag.Add(diagnostic.Diagnostic{
				Place:   key.Place,
				Path:    key.Path,
				Message: fmt.Sprintf("%q appears twice", key.Text),
				Related: []diagnostic.Related{{Place: first.Place, Message: "the first one is here"}},
			})
			continue
		}
		seen[key.Text] = key
		out.Pairs = append(out.Pairs, Pair{Key: key, Value: c.node(rawValue, key.Path, depth+1)})
	}
}

func (c *converter) refuse(n *Node, message, suggestion string) {
	c.bag.Add(diagnostic.Diagnostic{Place: n.Place, Path: n.Path, Message: message, Suggestion: suggestion})
}

// place is where a node stands. The YAML library gives no end, so the length
// is measured in the source; what goes over several lines ends with the first.
func (c *converter) place(in *yaml.Node) diagnostic.Place {
	line, column := in.Line, in.Column
	if in.Kind == yaml.MappingNode && in.Style&yaml.FlowStyle == 0 && len(in.Content) > 0 {
		// A block mapping begins with its first key.
		line, column = in.Content[0].Line, in.Content[0].Column
		in = in.Content[0]
	}
	rest := strings.TrimRight(c.src.from(line, column), " \t")
	length := 1
	if in.Kind == yaml.ScalarNode {
		switch {
		case in.Style&yaml.DoubleQuotedStyle != 0:
			length = quotedLength(rest, '"')
		case in.Style&yaml.SingleQuotedStyle != 0:
			length = quotedLength(rest, '\'')
		case in.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			length = 1
		default:
			length = countUpTo(rest, utf8.RuneCountInString(in.Value))
		}
	}
	return c.src.place(line, column, max(length, 1))
}

// countUpTo is the number of characters of text, or most when there are more.
// It does not look further, as lines can be very long.
func countUpTo(text string, most int) int {
	count := 0
	for range text {
		if count == most {
			break
		}
		count++
	}
	return count
}

// quotedLength counts the characters of a quoted scalar with its quotes, up to
// the end of the line.
func quotedLength(text string, quote rune) int {
	count, escaped := 0, false
	for i, r := range text {
		count++
		switch {
		case i == 0:
		case escaped:
			escaped = false
		case r == '\\' && quote == '"':
			escaped = true
		case r == quote && quote == '\'' && strings.HasPrefix(text[i:], "''"):
			escaped = true
		case r == quote:
			return count
		}
	}
	return count
}

func style(in *yaml.Node) Style {
	switch {
	case in.Style&yaml.DoubleQuotedStyle != 0:
		return DoubleQuoted
	case in.Style&yaml.SingleQuotedStyle != 0:
		return SingleQuoted
	case in.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return Block
	default:
		return Plain
	}
}

func class(in *yaml.Node) Class {
	switch in.ShortTag() {
	case "!!null":
		return Null
	case "!!bool":
		return Bool
	case "!!int", "!!float":
		return Number
	default:
		return Text
	}
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
