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
	"runtime"
	"syscall"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate"
	"github.com/task-orchestrator/task-orchestrator/internal/largespec"
)

func main() {
	size := largespec.Default
	flag.IntVar(&size.Tasks, "tasks", size.Tasks, "number of task types")
	flag.IntVar(&size.Segments, "segments", size.Segments, "number of first name segments")
	flag.IntVar(&size.Fields, "fields", size.Fields, "number of payload fields")
	keep := flag.Bool("keep", false, "leave the generated package in tests/scale/_generated")
	generateOnly := flag.String("generate", "", "only generate in this directory (used by the program itself)")
	flag.Parse()
	if err := run(size, *keep, *generateOnly); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// The targets of generating a spec of the default size.
const (
	targetSeconds = 2.0
	targetMB      = 300
)

const buildAim = 15 // CPU seconds

func run(size largespec.Size, keep bool, generateOnly string) (err error) {
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
	if err := os.WriteFile(filepath.Join(dir, "tasks.yaml"), largespec.Text(size), 0o644); err != nil {
		return err
	}
	seconds, megabytes, err := measureGenerate(dir)
	if err != nil {
		return err
	}
	if err := measureBuild(dir); err != nil {
		return err
	}
	if size != largespec.Default {
		return nil
	}
	return compare(seconds, megabytes)
}

// compare says whether the targets are met; one that is missed is an error.
func compare(seconds float64, megabytes int64) error {
	if seconds > targetSeconds || megabytes > targetMB {
		return fmt.Errorf("missed: generating took %.2f s and %d MB, and may take %.0f s and %d MB", seconds, megabytes, targetSeconds, targetMB)
	}
	fmt.Printf("met: generating may take %.0f s and %d MB\n", targetSeconds, targetMB)
	return nil
}

// measureGenerate runs the generator in a process of its own, for its memory.
func measureGenerate(dir string) (seconds float64, megabytes int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	command := exec.Command(self, "-generate", dir)
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, 0, err
	}
	seconds = time.Since(start).Seconds()
	megabytes = maxRSS(command.ProcessState.SysUsage().(*syscall.Rusage)) >> 20
	fmt.Printf("generate: %.2f s wall, %.2f s CPU, %d MB\n", seconds, cpu(command), megabytes)
	return seconds, megabytes, nil
}

// maxRSS is the most memory a process had, in bytes. Linux counts in KiB, macOS
// in bytes.
func maxRSS(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss << 10
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
	fmt.Printf("build: %.2f s wall, %.2f s CPU, aimed at %d (%d lines, %.1f MB of source)\n",
		time.Since(start).Seconds(), cpu(command), buildAim, lines, float64(size)/1e6)
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
