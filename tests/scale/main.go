// Scale measures what a very large spec costs: generating its package, and
// building that package when everything it imports is built.
//
//	go run ./tests/scale [-tasks 700] [-segments 25] [-fields 8]
//
// The targets at the defaults are 2 s and 300 MB for the whole generate command,
// and 15 CPU seconds for the build.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate"
)

func main() {
	var c config
	flag.IntVar(&c.tasks, "tasks", 700, "number of task types")
	flag.IntVar(&c.segments, "segments", 25, "number of first name segments")
	flag.IntVar(&c.fields, "fields", 8, "number of payload fields")
	keep := flag.Bool("keep", false, "leave the generated package in tests/scale/_generated")
	generateOnly := flag.String("generate", "", "only generate in this directory (used by the program itself)")
	flag.Parse()
	if err := run(c, *keep, *generateOnly); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

type config struct{ tasks, segments, fields int }

func run(c config, keep bool, generateOnly string) (err error) {
	if generateOnly != "" {
		return generateIn(generateOnly)
	}
	// An underscore keeps the directory out of ./... .
	dir := filepath.Join("tests", "scale", "_generated")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w (run it from the top of the repository)", err)
	}
	if !keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks.yaml"), spec(c), 0o644); err != nil {
		return err
	}
	if err := measureGenerate(dir); err != nil {
		return err
	}
	return measureBuild(dir)
}

// measureGenerate runs the generator in a process of its own, for its memory.
func measureGenerate(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, "-generate", dir)
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return err
	}
	wall := time.Since(start)
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("generate: %.2f s wall, %.2f s CPU, %d MB\n",
		wall.Seconds(), cpu(command), usage.Maxrss/1024)
	return nil
}

func generateIn(dir string) error {
	report, err := generate.Run(generate.Config{Spec: filepath.Join(dir, "tasks.yaml"), Out: filepath.Join(dir, "generated")})
	if errors.Is(err, generate.ErrSpec) {
		return report.Mistakes.Err()
	}
	return err
}

func measureBuild(dir string) error {
	path := "./" + filepath.ToSlash(filepath.Join(dir, "generated"))
	if err := goCommand("build", "./orchestrator/codec").Run(); err != nil {
		return fmt.Errorf("build the dependencies: %w", err)
	}
	// A trimpath of its own makes the build cache forget the package alone.
	nonce := fmt.Sprintf("-gcflags=-trimpath=/nonce%d", time.Now().UnixNano())
	command := goCommand("build", nonce, path)
	start := time.Now()
	if err := command.Run(); err != nil {
		return err
	}
	lines, size, err := count(filepath.Join(dir, "generated"))
	fmt.Printf("build: %.2f s wall, %.2f s CPU (%d lines, %.1f MB of source)\n",
		time.Since(start).Seconds(), cpu(command), lines, float64(size)/1e6)
	return err
}

func goCommand(args ...string) *exec.Cmd {
	command := exec.Command("go", args...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command
}

// cpu includes the processes that the command waited for, such as the compiler.
func cpu(command *exec.Cmd) float64 {
	return (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
}

func count(dir string) (lines, size int, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		lines += bytes.Count(content, []byte("\n"))
		size += len(content)
		return err
	})
	return lines, size, err
}

// spec writes a spec of ordinary tasks. No two tasks share a shape, since the
// compiler shares what has the same shape.
func spec(c config) []byte {
	kinds := []string{
		"int64", "uuid", "{type: string, min_length: 1, max_length: 40}", "{type: string, format: email}",
		"list<string>", "optional<Money>", "{type: int, min: 1, default: 3}", "{type: string, sensitive: true}",
	}
	var b bytes.Buffer
	b.WriteString("version: 1\npackage: generated\n" +
		"types:\n  Money: {object: {amount: int64, currency: {enum: [EUR, USD]}}}\ntasks:\n")
	for i := range c.tasks {
		fmt.Fprintf(&b, "  # Does the work number %d.\n  segment%d:work%d:\n", i, i%c.segments, i)
		fmt.Fprintf(&b, "    idempotency: {key: [field0_%d], window: 24h}\n    payload:\n", i)
		for f := range c.fields {
			fmt.Fprintf(&b, "      field%d_%d: %s\n", f, i, kinds[f%len(kinds)])
		}
		fmt.Fprintf(&b, "    result: {message_id_%d: string}\n", i)
	}
	return b.Bytes()
}
