package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// syntaxError tells what the YAML library refused. The library gives a line
// that is sometimes off by one, and no column; where a known mistake stands
// around that line, it is named instead.
func syntaxError(src *source, err error) diagnostic.Diagnostic {
	line, message := splitYAMLError(err)
	for _, number := range candidateLines(src, line) {
		for _, mistake := range mistakes {
			if d, found := mistake.find(src, number, message); found {
				return d
			}
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
	return line, message
}

// candidateLines are the lines where the mistake may stand, the likeliest
// first. Without a line from the library that is every line.
func candidateLines(src *source, line int) []int {
	if line > 0 {
		return []int{line, line + 1, line - 1}
	}
	all := make([]int, len(src.lines))
	for i := range all {
		all[i] = i + 1
	}
	return all
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
