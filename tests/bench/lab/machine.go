package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// Fact is a line of the description of where was measured.
type Fact struct{ Name, Value string }

// Facts describe machine, server and engine.
func (l *Lab) Facts(ctx context.Context) []Fact {
	facts := []Fact{
		{"processor", fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())},
		{"memory", memory()},
		{"system", system(ctx)},
		{"load before the run (1, 5, 15 minutes)", firstFields("/proc/loadavg", 3)},
		{"PostgreSQL", l.server.Binaries().Version},
		{"data directory on", fileSystem(ctx, l.server.DataDir())},
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(l.settings)) {
		set = append(set, name+" = "+l.settings[name])
	}
	return append(facts, Fact{"settings, the same for all; others PostgreSQL's own", strings.Join(set, ", ")},
		Fact{"Go", runtime.Version()}, Fact{"commit", output(ctx, "git", "describe", "--always", "--dirty")})
}

func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func memory() string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "unknown"
	}
	var kilobytes int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kilobytes); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GB", float64(kilobytes)/(1<<20))
}

func system(ctx context.Context) string { return output(ctx, "uname", "-s", "-r", "-m") }

// fileSystem is the device and the type of what a directory is on.
func fileSystem(ctx context.Context, dir string) string {
	lines := strings.Split(output(ctx, "df", "-PT", dir), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) < 2 {
		return "unknown"
	}
	return fields[1] + " (" + fields[0] + ")"
}

func firstFields(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(n, len(fields))], ", ")
}

// output is what a program prints, or "unknown": a description must not end a
// run.
func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(out))
}
