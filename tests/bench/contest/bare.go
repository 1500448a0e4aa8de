package contest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// bareLoop is the physical limit: the engine's own claim and finish statements
// in a loop, with no payload decoded and no handler called, over tasks that the
// engine has enqueued.
func bareLoop() Contestant {
	c := engine()
	c.Name = Bare
	c.About = func(context.Context) string {
		return "plain pgx over this engine's own claim and finish statements: no payload decoded, no handler called"
	}
	c.missing = buildBareLoop
	c.command = func(_ context.Context, l *lab.Lab, job string, spec Spec) (lab.Command, error) {
		if job != "drain" {
			return lab.Command{}, nil // the engine's
		}
		return lab.Command{Path: bareLoopProgram(l), Args: []string{"-total", strconv.Itoa(spec.Tasks)}, Env: []string{"DATABASE_URL=" + spec.URL}}, nil
	}
	return c
}

func bareLoopProgram(l *lab.Lab) string { return filepath.Join(l.Work(), "bareloop") }

// buildBareLoop builds the program in its own module, whose internal packages
// it imports.
func buildBareLoop(ctx context.Context, l *lab.Lab) error {
	const module, dir = "github.com/task-orchestrator/task-orchestrator", "orchestrator/internal/bareloop"
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("find module %s: %w", module, err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", bareLoopProgram(l), "./"+dir)
	build.Dir = strings.TrimSpace(string(root))
	if _, err := os.Stat(filepath.Join(build.Dir, dir)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s", dir)
	}
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", dir, err, out)
	}
	return nil
}
