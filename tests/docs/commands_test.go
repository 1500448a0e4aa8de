package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// build builds the command.
func build(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "orchestrator")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, root+"/cmd/orchestrator").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

func TestCommandsExist(t *testing.T) {
	t.Parallel()
	c := checker{program: build(t), tests: tests(t), help: map[string]string{}}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.lang != "sh" {
				continue
			}
			for i, text := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
				require.True(t, c.check(t, line{p.name, b.at.number + 1 + i, text}) || text == "",
					"%s:%d: a command that this test does not know", p.name, b.at.number+1+i)
			}
		}
		for _, l := range p.prose {
			if text, indented := strings.CutPrefix(l.text, "    "); indented {
				c.check(t, line{l.page, l.number, text})
			}
		}
		for _, l := range p.spans() {
			c.check(t, l)
		}
	}
	require.Greater(t, c.checked, 30)
}

// checker looks commands up.
type checker struct {
	program string
	tests   map[string][]string
	help    map[string]string // by command path
	checked int
}

var (
	comment   = regexp.MustCompile(`\s#\s.*$`)
	separator = regexp.MustCompile(`\s(?:&&|\|\||\||;)\s`)
	variable  = regexp.MustCompile(`^[A-Z_]+=`)
)

// check tells whether it knew what every part of the line is.
func (c *checker) check(t *testing.T, l line) (known bool) {
	t.Helper()
	known = true
	for _, part := range separator.Split(comment.ReplaceAllString(l.text, ""), -1) {
		all := words(part)
		for len(all) > 0 && variable.MatchString(all[0]) {
			all = all[1:]
		}
		known = c.checkOne(t, l, all) && known
	}
	return known
}

func (c *checker) checkOne(t *testing.T, l line, all []string) bool {
	t.Helper()
	starts := func(prefix ...string) bool {
		return len(all) >= len(prefix) && slices.Equal(all[:len(prefix)], prefix)
	}
	switch {
	case starts("orchestrator") && len(all) > 1:
		c.orchestrator(t, l, all[1:])
	case starts("go", "tool", "orchestrator"):
		c.orchestrator(t, l, all[3:])
	case starts("go", "run", "./cmd/orchestrator"):
		c.orchestrator(t, l, all[3:])
	case starts("go", "run"), starts("go", "test"):
		c.packages(t, l, all[2:])
	case starts("make"):
		c.make(t, l, all[1:])
	case starts("go"), starts("cd"), starts("psql"):
	default:
		return false
	}
	c.checked++
	return true
}

// orchestrator walks down the subcommands and looks the flags up in the help
// of the last one.
func (c *checker) orchestrator(t *testing.T, l line, args []string) {
	t.Helper()
	if i := slices.Index(args, "--"); i >= 0 {
		inner := args[i+1:]
		if len(inner) == 3 && inner[0] == "sh" && inner[1] == "-c" {
			inner = words(inner[2])
		}
		c.checkOne(t, l, inner)
		args = args[:i]
	}
	var path []string
	for _, arg := range args {
		next := append(slices.Clone(path), arg)
		if strings.HasPrefix(arg, "-") || !strings.Contains(c.helpOf(t, next), "  orchestrator "+strings.Join(next, " ")) {
			break
		}
		path = next
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		require.NotEmpty(t, path, "%s: orchestrator has no command %s", l, args[0])
	}
	help := c.helpOf(t, path)
	if rest := args[len(path):]; len(rest) > 0 && strings.Contains(help, "Available Commands:") {
		require.True(t, strings.HasPrefix(rest[0], "-"), "%s: orchestrator %s has no command %s", l, strings.Join(path, " "), rest[0])
	}
	for _, arg := range args[len(path):] {
		if flag, _, _ := strings.Cut(arg, "="); strings.HasPrefix(flag, "--") {
			require.Regexp(t, `(?m)^ +(?:-\w, )?`+flag+`\b`, help, "%s: orchestrator %s has no %s", l, strings.Join(path, " "), flag)
		}
	}
}

func (c *checker) helpOf(t *testing.T, path []string) string {
	t.Helper()
	key := strings.Join(path, " ")
	if _, known := c.help[key]; !known {
		out, _ := exec.CommandContext(t.Context(), c.program, append(slices.Clone(path), "--help")...).CombinedOutput()
		c.help[key] = string(out)
	}
	return c.help[key]
}

// packages checks the packages and the names of tests that a go command names.
func (c *checker) packages(t *testing.T, l line, args []string) {
	t.Helper()
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, "./"):
			_, err := os.Stat(filepath.Join(root, strings.TrimSuffix(arg, "/...")))
			require.NoError(t, err, "%s", l)
		case (arg == "-run" || arg == "-bench") && args[i+1] != "^$":
			pattern := regexp.MustCompile(args[i+1])
			found := false
			for name := range c.tests {
				found = found || pattern.MatchString(name)
			}
			require.True(t, found, "%s: no test matches %s", l, args[i+1])
		}
	}
}

// make checks targets, in this repository's Makefile or the one init writes.
func (c *checker) make(t *testing.T, l line, targets []string) {
	t.Helper()
	text := ""
	for _, name := range []string{"Makefile", "cmd/orchestrator/starter/Makefile.tmpl"} {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		require.NoError(t, err)
		text += string(content)
	}
	for _, target := range targets {
		require.True(t, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).MatchString(text), "%s: no target %s", l, target)
	}
}

// words splits as a shell does, as far as these pages need it.
func words(text string) []string {
	var all []string
	var word strings.Builder
	var quote rune
	started := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ':
			if started || word.Len() > 0 {
				all = append(all, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(r)
		}
	}
	if started || word.Len() > 0 {
		all = append(all, word.String())
	}
	return all
}
