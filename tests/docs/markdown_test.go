package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the repository's, seen from this package.
const root = "../.."

// page is a Markdown file taken apart.
type page struct {
	name   string // slash path from the root
	blocks []block
	prose  []line // what is outside of fences
}

// block is a fenced block. The first word of what stands behind its fence is
// its language, the rest says what the tests make of it.
type block struct {
	at   line
	lang string
	mark string
	text string
}

type line struct {
	page   string
	number int
	text   string
}

func (l line) String() string { return fmt.Sprintf("%s:%d", l.page, l.number) }

// pages reads README.md and all of docs/.
func pages(t *testing.T) []page {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var all []page
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		relative, err := filepath.Rel(root, name)
		require.NoError(t, err)
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		all = append(all, parse(t, filepath.ToSlash(relative), string(content)))
	}
	return all
}

func pageNamed(t *testing.T, name string) page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return parse(t, name, string(content))
}

func parse(t *testing.T, name, content string) page {
	t.Helper()
	p := page{name: name}
	var open *block
	number := 0
	for text := range strings.Lines(content) {
		number++
		text = strings.TrimSuffix(text, "\n")
		info, isFence := strings.CutPrefix(text, "```")
		switch {
		case !isFence && open == nil:
			p.prose = append(p.prose, line{name, number, text})
		case !isFence:
			open.text += text + "\n"
		case open == nil:
			lang, mark, _ := strings.Cut(info, " ")
			open = &block{at: line{name, number, text}, lang: lang, mark: mark}
		default:
			p.blocks = append(p.blocks, *open)
			open = nil
		}
	}
	require.Nil(t, open, "%s: a fence is not closed", name)
	return p
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	linkForm = regexp.MustCompile(`\[([^\[\]]+)\]\(([^()\s]+)\)`)
)

// spans are the code spans of the prose.
func (p page) spans() []line {
	var all []line
	for _, l := range p.prose {
		if strings.HasPrefix(l.text, "    ") {
			continue // an indented block
		}
		for _, match := range codeSpan.FindAllStringSubmatch(l.text, -1) {
			all = append(all, line{l.page, l.number, match[1]})
		}
	}
	return all
}

// anchors are the names by which links reach the headings.
func (p page) anchors() map[string]bool {
	all := map[string]bool{}
	for _, l := range p.prose {
		heading := strings.TrimLeft(l.text, "#")
		if heading == l.text || !strings.HasPrefix(heading, " ") {
			continue
		}
		slug := strings.ToLower(strings.TrimSpace(heading))
		slug = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(slug, "")
		all[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return all
}
