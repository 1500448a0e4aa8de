package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/generate"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// modulePath is this module, which starters require.
const modulePath = "github.com/task-orchestrator/task-orchestrator"

//go:embed starter/*.tmpl
var starterFiles embed.FS

var starterTemplates = template.Must(template.ParseFS(starterFiles, "starter/*.tmpl"))

func (c *cli) initCommand() *cobra.Command {
	var s starter
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Start a project, or add tasks to one",
		Long: `Start a project, or add tasks to one.

In a directory without a Go module: writes go.mod, tasks.yaml, main.go with a
handler and a Makefile. In an existing module: adds tasks.yaml and a worker in
cmd/worker. The code of tasks.yaml is generated at once. No file that exists is
changed, but for go.mod, which gets a requirement and a tool line.`,
		GroupID: groupBuild,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.dir = "."
			if len(args) > 0 {
				s.dir = args[0]
			}
			if err := s.locate(); err != nil {
				return err
			}
			return c.writeStarter(cmd.Context(), &s)
		},
	}
	cmd.Flags().StringVar(&s.Module, "module", "", "module `path` of a new project (default: the directory's name)")
	cmd.Flags().StringVar(&s.Package, "package", "tasks", "`name` of the generated package")
	cmd.Flags().StringVar(&s.replace, "replace", "", "use the clone of the orchestrator in this `directory` (a replace line in go.mod)")
	return cmd
}

// starter is what init writes. Exported fields are for the templates.
type starter struct {
	dir, replace string
	moduleDir    string // of an existing module; "" makes a new one

	Module     string
	Package    string
	ImportPath string // of the generated package
	Name       string // of the command
	Generate   bool   // the go:generate line stands in main.go
}

var packageName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// locate finds out where the starter goes and fills in the rest.
func (s *starter) locate() (err error) {
	if !packageName.MatchString(s.Package) {
		return fmt.Errorf("--package %s: want a Go package name of lower case letters and digits", s.Package)
	}
	if s.replace != "" {
		if s.replace, err = filepath.Abs(s.replace); err != nil {
			return err
		}
		if name, err := moduleOf(s.replace); err != nil || name != modulePath {
			return fmt.Errorf("--replace %s: want a clone of %s", s.replace, modulePath)
		}
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		name, err := moduleOf(dir)
		if err == nil {
			return s.inModule(dir, name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if dir == filepath.Dir(dir) {
			return s.alone()
		}
	}
}

// inModule adds to the module in dir.
func (s *starter) inModule(dir, name string) error {
	if s.Module != "" && s.Module != name {
		return fmt.Errorf("--module %s: %s is in the module %s", s.Module, s.dir, name)
	}
	below, err := filepath.Rel(dir, s.dir)
	if err != nil {
		return err
	}
	s.moduleDir, s.Module, s.Name = dir, name, "worker"
	s.ImportPath = path.Join(name, filepath.ToSlash(below), s.Package)
	return nil
}

// alone makes a module of its own.
func (s *starter) alone() error {
	s.Name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(filepath.Base(s.dir)), "-"), "-")
	if s.Name == "" {
		s.Name = "app"
	}
	if s.Module == "" {
		s.Module = s.Name
	}
	s.ImportPath, s.Generate = path.Join(s.Module, s.Package), true
	return nil
}

// moduleOf is the path of the module whose go.mod is in dir.
func moduleOf(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	match := regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`).FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s has no module line", filepath.Join(dir, "go.mod"))
	}
	return string(match[1]), nil
}

// files says which template becomes which file.
func (s *starter) files() [][2]string {
	if s.moduleDir != "" {
		return [][2]string{
			{"tasks.yaml.tmpl", "tasks.yaml"},
			{"generate.go.tmpl", s.Package + "/generate.go"},
			{"main.go.tmpl", "cmd/worker/main.go"},
		}
	}
	return [][2]string{
		{"go.mod.tmpl", "go.mod"}, {"tasks.yaml.tmpl", "tasks.yaml"}, {"main.go.tmpl", "main.go"}, {"Makefile.tmpl", "Makefile"},
	}
}

func (c *cli) writeStarter(ctx context.Context, s *starter) error {
	// What would not be used as it is written is refused before a file is made.
	for _, name := range []string{"tasks.yaml", s.Package} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
			return fmt.Errorf("%s is there already: init writes a first tasks.yaml and its package (--package gives it another name)", filepath.Join(s.dir, name))
		}
	}
	for _, file := range s.files() {
		if err := c.writeStarterFile(s, file[0], filepath.Join(s.dir, filepath.FromSlash(file[1]))); err != nil {
			return err
		}
	}
	report, err := generate.Run(generate.Config{Spec: filepath.Join(s.dir, "tasks.yaml")})
	if err != nil {
		return errors.Join(err, report.Mistakes.Err())
	}
	for _, name := range report.Written {
		fmt.Fprintln(c.stdout, "wrote", filepath.Join(s.Package, name))
	}
	required, err := c.requireTool(ctx, s)
	if err != nil {
		return err
	}
	c.printNextSteps(s, required)
	return nil
}

func (c *cli) writeStarterFile(s *starter, name, target string) error {
	shown, err := filepath.Rel(s.dir, target)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := starterTemplates.ExecuteTemplate(&text, name, s); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		fmt.Fprintln(c.stdout, "kept", shown)
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := file.Write(text.Bytes()); err != nil {
		return errors.Join(err, file.Close())
	}
	fmt.Fprintln(c.stdout, "wrote", shown)
	return file.Close()
}

// requireTool adds the requirement and the tool to go.mod, through the go
// command. It returns false when the version to require is not known: this
// program was not installed from a release.
func (c *cli) requireTool(ctx context.Context, s *starter) (bool, error) {
	version := orchestrator.Version()
	if s.replace != "" {
		version = "v0.0.0"
	}
	if !strings.HasPrefix(version, "v") || strings.Contains(version, "+") {
		return false, nil
	}
	edits := []string{"mod", "edit", "-require", modulePath + "@" + version, "-tool", modulePath + "/cmd/orchestrator"}
	if s.replace != "" {
		edits = append(edits, "-replace", modulePath+"="+s.replace)
	}
	cmd := exec.CommandContext(ctx, "go", edits...)
	cmd.Env = c.environ
	if cmd.Dir = s.moduleDir; cmd.Dir == "" {
		cmd.Dir = s.dir
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return false, fmt.Errorf("go %s: %w\n%s", strings.Join(edits, " "), err, bytes.TrimSpace(output))
	}
	fmt.Fprintln(c.stdout, "changed go.mod")
	return true, nil
}

func (c *cli) printNextSteps(s *starter, required bool) {
	fmt.Fprintln(c.stdout, "\nNext:")
	if here, err := os.Getwd(); err == nil && here != s.dir {
		fmt.Fprintln(c.stdout, "  cd", s.dir)
	}
	if !required {
		fmt.Fprintf(c.stdout, "  go get -tool %s/cmd/orchestrator@latest\n", modulePath)
	}
	program := "."
	if s.moduleDir != "" {
		program = "./cmd/worker"
	}
	fmt.Fprintf(c.stdout, "  go mod tidy\n  go tool orchestrator dev -- go run %s\n", program)
	fmt.Fprintln(c.stdout, "After a change of tasks.yaml:\n  go generate ./...")
}
