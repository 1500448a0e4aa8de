package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// syntaxError tells what the YAML library refused. The library gives no column,
// and often the line where the mapping around the mistake begins; where a known
// mistake stands at that line or behind it, that is named instead.
func syntaxError(src *source, err error) diagnostic.Diagnostic {
	line, message := splitYAMLError(err)
	for _, number := range candidateLines(src, line) {
		for _, mistake := range mistakes {
			if d, found := mistake.find(src, number, message); found {
				return d
			}
		}
	}
	if match := unknownAnchor.FindStringSubmatch(message); match != nil {
		if d, found := unknownAlias(src, match[1]); found {
			return d
		}
	}
	line = min(max(line, 1), len(src.lines))
	for line > 1 && strings.TrimSpace(src.line(line)) == "" {
		line-- // the library points behind the end of the file
	}
	return diagnostic.Diagnostic{Place: src.wholeLine(line), Message: "not valid YAML: " + message}
}

var yamlErrorLine = regexp.MustCompile(`^line (\d+): `)

func splitYAMLError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlErrorLine.FindStringSubmatch(message); match != nil {
		line, _ = strconv.Atoi(match[1])
		message = message[len(match[0]):]
	}
	if line > 0 && fromParser.MatchString(message) {
		line++
	}
	return line, message
}

// unknownAnchor is the one message about an alias. It has no line.
var unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced`)

const (
	noAliases     = "YAML aliases are not part of the spec language"
	noAnchors     = "YAML anchors are not part of the spec language"
	insteadOfThem = "name the shared settings under `policies`, or the shared fields under `types`"
)

// unknownAlias finds an alias in the source.
func unknownAlias(src *source, name string) (diagnostic.Diagnostic, bool) {
	alias := "*" + name
	for i, text := range src.lines {
		if at := strings.Index(text, alias); at >= 0 {
			return diagnostic.Diagnostic{
				Place:      src.place(i+1, utf8.RuneCountInString(text[:at])+1, utf8.RuneCountInString(alias)),
				Message:    noAliases,
				Suggestion: insteadOfThem,
			}, true
		}
	}
	return diagnostic.Diagnostic{}, false
}

// fromParser are the messages of the library's parser, which counts lines from
// 0; its scanner counts from 1.
var fromParser = regexp.MustCompile(`^did not find expected (key|node content|',' or '}'|',' or '\]'|'-' indicator|<document start>)`)

// candidateLines are the lines where the mistake may stand, the likeliest
// first. Without a line from the library they begin with the file.
func candidateLines(src *source, line int) []int {
	const behind = 50
	last := min(line+behind, len(src.lines))
	if line == 0 {
		line, last = 1, len(src.lines)
	}
	lines := make([]int, 0, last-line+2)
	for number := line; number <= last; number++ {
		lines = append(lines, number)
	}
	return append(lines, line-1)
}

// mistake is something people write that is not YAML.
type mistake struct {
	// pattern matches the line; its first group is what the carets underline.
	pattern *regexp.Regexp
	// only, if not empty, must be part of the library's message.
	only string
	// explain gives the message and suggestion for the underlined text.
	explain func(text string) (message, suggestion string)
}

var mistakes = []mistake{
	{
		only:    "cannot start any token",
		pattern: regexp.MustCompile(`^ *(\t+)`),
		explain: func(string) (string, string) {
			return "a tab cannot indent YAML", "use spaces"
		},
	},
	{
		pattern: regexp.MustCompile(`\bcron: *([*@][^,}#]*[^,}# ])`),
		explain: explainCron,
	},
	{
		pattern: regexp.MustCompile(`\bpattern: *("(?:[^"\\]|\\.)*"?)`),
		explain: func(text string) (string, string) {
			return "a pattern in double quotes, where YAML reads the backslashes itself",
				"write it in single quotes: '" + strings.ReplaceAll(strings.Trim(text, `"`), "'", "''") + "'"
		},
	},
	{
		pattern: regexp.MustCompile(`\bpattern: *([^'" ].*)`),
		explain: func(text string) (string, string) {
			return "a pattern without quotes", "write it in single quotes: 'like this'"
		},
	},
	{
		pattern: regexp.MustCompile(`([A-Za-z][A-Za-z0-9]*\[\])`),
		explain: func(text string) (string, string) {
			return fmt.Sprintf("%q is not a type", text), fmt.Sprintf("write list<%s>", strings.TrimSuffix(text, "[]"))
		},
	},
	{
		pattern: regexp.MustCompile(`(\[\][A-Za-z][A-Za-z0-9]*)`),
		explain: func(text string) (string, string) {
			return fmt.Sprintf("%q is not a type", text), fmt.Sprintf("write list<%s>", strings.TrimPrefix(text, "[]"))
		},
	},
	{
		pattern: regexp.MustCompile(`: *([A-Za-z][A-Za-z0-9]*\?)(?: *[,}]|$)`),
		explain: func(text string) (string, string) {
			return fmt.Sprintf("%q is not a type", text), fmt.Sprintf("write optional<%s>", strings.TrimSuffix(text, "?"))
		},
	},
	{
		pattern: regexp.MustCompile(`[^"'](\$\{[^}]*\}?)`),
		explain: func(text string) (string, string) {
			return fmt.Sprintf("%s is not filled in, and its braces mean something else to YAML", text), "write the value, or put the text in quotes"
		},
	},
	{
		pattern: regexp.MustCompile("(?::|-) +([@`%].*)"),
		explain: func(text string) (string, string) {
			return fmt.Sprintf("YAML text cannot start with %q", text[:1]), "put it in quotes"
		},
	},
	{
		only:    "mapping values are not allowed",
		pattern: regexp.MustCompile(`^[^:#]*: +([^"'{\[|>#\s].*: .*)`),
		explain: func(string) (string, string) {
			return "text that holds a colon and a space reads as a mapping", "put it in quotes"
		},
	},
}

func explainCron(text string) (message, suggestion string) {
	return fmt.Sprintf("a cron expression that starts with %q means something else to YAML", text[:1]),
		fmt.Sprintf("put it in quotes: cron: %q", strings.TrimSpace(text))
}

func (m mistake) find(src *source, line int, message string) (diagnostic.Diagnostic, bool) {
	text := src.line(line)
	if len(text) > 1000 || !strings.Contains(message, m.only) || strings.HasPrefix(strings.TrimLeft(text, " "), "#") {
		return diagnostic.Diagnostic{}, false
	}
	at := m.pattern.FindStringSubmatchIndex(text)
	if at == nil {
		return diagnostic.Diagnostic{}, false
	}
	found := strings.TrimRight(text[at[2]:at[3]], " ")
	told, suggestion := m.explain(found)
	return diagnostic.Diagnostic{
		Place:      src.place(line, utf8.RuneCountInString(text[:at[2]])+1, utf8.RuneCountInString(found)),
		Message:    told,
		Suggestion: suggestion,
	}, true
}
