package contest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// graphileFiles are the program and the versions it is pinned to.
//
//go:embed package.json package-lock.json graphile.mjs
var graphileFiles embed.FS

// graphileSettings are those of its own performance test, which has four
// processes of this kind; here it is one, as for everybody.
const graphileSettings = `{"concurrentJobs": 24, "maxPoolSize": 25, "localQueue": {"size": 500, "refetchDelay": {"durationMs": 10}}, ` +
	`"completeJobBatchDelay": 0, "failJobBatchDelay": 0}`

// graphileJobs are those that graphile.mjs knows.
var graphileJobs = []string{"prepare", "fill", "drain", "bulk"}

func graphile() Contestant {
	return Contestant{
		Name: Graphile,
		About: func(ctx context.Context) string {
			version, asks := graphileVersion()
			return fmt.Sprintf("%s on Node %s (it asks for %s): %s, as in its own performance test; finished jobs are deleted, there is no history",
				version, nodeVersion(ctx), asks, graphileSettings)
		},
		missing: installGraphile,
		command: func(_ context.Context, l *lab.Lab, job string, _ Spec) (lab.Command, error) {
			if !slices.Contains(graphileJobs, job) {
				return lab.Command{}, fmt.Errorf("bench: graphile.mjs has no %s", job)
			}
			return lab.Command{Path: "node", Args: []string{"graphile.mjs", job, graphileSettings}, Dir: graphileDir(l),
				Env: []string{"NO_LOG_SUCCESS=1", "NODE_ENV=production"}}, nil
		},
		tables: []string{"graphile_worker._private_jobs"},
		left:   counted(`SELECT count(*) FROM graphile_worker._private_jobs`),
	}
}

// graphileFile is one of the embedded ones.
func graphileFile(name string) []byte {
	content, err := graphileFiles.ReadFile(name)
	if err != nil {
		panic(err) // the embedding above names it
	}
	return content
}

// graphileVersion is what the lock file pins, and which Node that asks for: an
// older one may run it too.
func graphileVersion() (version, node string) {
	var lock struct {
		Packages map[string]struct {
			Version string
			Engines struct{ Node string }
		}
	}
	if err := json.Unmarshal(graphileFile("package-lock.json"), &lock); err != nil {
		panic(err) // ours, and embedded
	}
	worker := lock.Packages["node_modules/graphile-worker"]
	return worker.Version, worker.Engines.Node
}

func nodeVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return "that is absent"
	}
	return string(bytes.TrimSpace(out))
}

// graphileDir is one a version of the lock file.
func graphileDir(l *lab.Lab) string {
	sum := sha256.Sum256(graphileFile("package-lock.json"))
	return filepath.Join(l.Work(), "graphile-worker-"+hex.EncodeToString(sum[:6]))
}

// installGraphile installs what the lock file pins, once.
func installGraphile(ctx context.Context, l *lab.Lab) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not on PATH", program)
		}
	}
	dir := graphileDir(l)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json", "graphile.mjs"} {
		if err := os.WriteFile(filepath.Join(dir, name), graphileFile(name), 0o600); err != nil {
			return err
		}
	}
	installed := filepath.Join(dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return nil
	}
	l.Logf("installing graphile-worker with npm")
	npm := exec.CommandContext(ctx, "npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("npm ci in %s: %w", dir, err), errors.New(string(bytes.TrimSpace(out))))
	}
	return os.WriteFile(installed, nil, 0o600)
}
