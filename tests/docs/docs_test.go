package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

const mistakes = "mistakes" // marks a spec that has some

func TestSpecsLoad(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		for i, b := range p.blocks {
			if b.lang != "yaml" {
				continue
			}
			if b.mark == mistakes {
				require.True(t, i+1 < len(p.blocks) && p.blocks[i+1].lang == "console", "%s: no console block says what is wrong with it", b.at)
				continue
			}
			_, found := model.Load(fstest.MapFS{"tasks.yaml": {Data: []byte(b.spec())}}, "tasks.yaml")
			require.NoError(t, found.Err(), "%s", b.at)
		}
	}
}

// spec is the block as a whole spec: sections get their head.
func (b block) spec() string {
	if strings.HasPrefix(b.text, "version:") || strings.Contains(b.text, "\nversion:") || b.mark == mistakes {
		return b.text
	}
	return "version: 1\npackage: tasks\n" + b.text
}

func TestConsoleBlocksPrintWhatTheyShow(t *testing.T) {
	t.Parallel()
	program := build(t)
	for _, p := range pages(t) {
		spec := ""
		for _, b := range p.blocks {
			switch b.lang {
			case "yaml":
				spec = b.spec()
			case "console":
				command, want, _ := strings.Cut(b.text, "\n")
				words := words(strings.TrimPrefix(command, "$ "))
				require.Equal(t, "orchestrator", words[0], "%s", b.at)
				dir := t.TempDir()
				require.NoError(t, os.WriteFile(filepath.Join(dir, "tasks.yaml"), []byte(spec), 0o600))
				cmd := exec.CommandContext(t.Context(), program, words[1:]...)
				cmd.Dir = dir
				got, _ := cmd.CombinedOutput() // it fails where it shows mistakes
				require.Equal(t, want, string(got), "%s", b.at)
			}
		}
	}
}

// TestProgramsPassVet compiles the blocks that begin with a package clause, as
// a user would: in a module that requires this one.
func TestProgramsPassVet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	const name = "github.com/task-orchestrator/task-orchestrator"
	text := strings.Replace(string(mod), "module "+name, "module docs.example", 1) +
		"\nrequire " + name + " v0.0.0\nreplace " + name + " => " + here + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))

	programs := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.lang != "go" || b.mark != "" || !strings.HasPrefix(b.text, "package ") {
				continue
			}
			programs++
			clause, _, _ := strings.Cut(b.text, "\n")
			file := "main.go"
			if strings.HasSuffix(clause, "_test") {
				file = "main_test.go"
			}
			folder := filepath.Join(dir, strings.NewReplacer("/", "_", ".", "_", ":", "_").Replace(b.at.String()))
			require.NoError(t, os.Mkdir(folder, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(b.text), 0o600))
		}
	}
	require.NotZero(t, programs)
	cmd := exec.CommandContext(t.Context(), "go", "vet", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestExcerptsAreOfTheirFiles(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.lang != "go" || b.mark == "" {
				continue
			}
			content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(b.mark)))
			require.NoError(t, err, "%s", b.at)
			rest := string(content)
			for part := range strings.SplitSeq(b.text, "// ...\n") {
				_, after, found := strings.Cut(rest, part)
				require.True(t, found, "%s: %s does not have, in this place:\n%s", b.at, b.mark, part)
				rest = after
			}
		}
	}
}

func TestSQLRuns(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.lang == "sql" {
				_, err := client.DB().DB.ExecContext(t.Context(), b.text)
				require.NoError(t, err, "%s", b.at)
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		for _, l := range p.prose {
			for _, match := range linkForm.FindAllStringSubmatch(l.text, -1) {
				text, target := match[1], match[2]
				if strings.Contains(target, "://") {
					continue
				}
				file, anchor, _ := strings.Cut(target, "#")
				file = path.Join(path.Dir(p.name), file)
				if strings.HasPrefix(target, "#") {
					file = p.name
				}
				_, err := os.Stat(filepath.Join(root, filepath.FromSlash(file)))
				require.NoError(t, err, "%s: link to %s", l, target)
				if anchor != "" {
					require.Contains(t, pageNamed(t, file).anchors(), anchor, "%s: link to %s", l, target)
				}
				if testName.FindString(text) == text {
					require.Contains(t, tests(t)[text], file, "%s: no %s there", l, text)
				}
			}
		}
	}
}

var testName = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz|Example)[A-Z]\w*`)

func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	all := tests(t)
	for _, p := range pages(t) {
		for _, l := range p.prose {
			for _, name := range testName.FindAllString(l.text, -1) {
				require.NotEmpty(t, all[name], "%s: no %s", l, name)
			}
		}
	}
}

var testDeclaration = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz|Example)\w*)\(`)

// tests are the tests, benchmarks and examples of this module by name, with
// the files that declare them.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.ContainsAny(d.Name()[:1], "._"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		for _, match := range testDeclaration.FindAllSubmatch(content, -1) {
			all[string(match[1])] = append(all[string(match[1])], name)
		}
		return nil
	})
	require.NoError(t, err)
	return all
}

// TestSpecLanguageIsDescribed takes the keys from the schema for editors, which
// a test of its own holds to the grammar.
func TestSpecLanguageIsDescribed(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "generate", "schema", "tasks.schema.json"))
	require.NoError(t, err)
	var schema any
	require.NoError(t, json.Unmarshal(content, &schema))
	keys := map[string]bool{}
	propertyNames(schema, keys)
	require.Greater(t, len(keys), 40)
	described, err := os.ReadFile(filepath.Join(root, "docs", "spec.md"))
	require.NoError(t, err)
	for key := range keys {
		require.True(t, regexp.MustCompile("[`.{ ,]"+key+"[`:},. ]").Match(described), "docs/spec.md says nothing of %s", key)
	}
}

func propertyNames(node any, names map[string]bool) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			propertyNames(item, names)
		}
	case map[string]any:
		for key, value := range n {
			if properties, ok := value.(map[string]any); ok && key == "properties" {
				for name := range properties {
					names[name] = true
				}
			}
			propertyNames(value, names)
		}
	}
}

func TestSettingsAreDescribed(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(filepath.Join(root, ".env.example"))
	require.NoError(t, err)
	operations, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	variables := regexp.MustCompile(`(?m)^([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(example), -1)
	require.NotEmpty(t, variables)
	for _, v := range variables {
		row := regexp.MustCompile("(?m)^\\|.*`" + v[1] + "`.*$").FindString(string(operations))
		require.NotEmpty(t, row, "docs/operations.md has no row for %s", v[1])
		if strings.Contains(v[1], "DATABASE_URL") || v[2] == "" {
			continue
		}
		require.Contains(t, row, v[2], "the default of %s", v[1])
	}
}
