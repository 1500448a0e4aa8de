package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// batch is how many tasks are enqueued at a time: enough to make each cheap, few
// enough to start working early.
const batch = 1000

// job is one run over a tree: a task for every file of it.
type job struct {
	client   *orchestrator.Client
	tree     fs.FS
	id       string // in the metadata of the run's tasks
	stderr   io.Writer
	payloads []generated.SourceIndexPayload
	outcomes []outcome     // of each payload
	took     time.Duration // from the first enqueue to the last outcome
}

// outcome is what became of one task: a result, or the error it died of.
type outcome struct {
	payload generated.SourceIndexPayload
	result  generated.SourceIndexResult
	dead    *orchestrator.TaskError
}

func newJob(client *orchestrator.Client, dir string, stderr io.Writer) (*job, error) {
	tree := os.DirFS(dir)
	payloads, err := goFiles(tree)
	if err != nil {
		return nil, fmt.Errorf("walk %s: %w", dir, err)
	}
	return &job{client: client, tree: tree, id: rand.Text(), stderr: stderr, payloads: payloads}, nil
}

// goFiles describes the regular files of the tree whose names end in .go.
func goFiles(tree fs.FS) (files []generated.SourceIndexPayload, err error) {
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(name, ".go") {
			files = append(files, generated.SourceIndexPayload{Path: name, Package: path.Dir(name)})
		}
		return err
	})
	return files, err
}

// run enqueues the tasks, works them, and returns when all have finished.
func (j *job) run(ctx context.Context) error {
	worker, err := j.worker()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	g.Go(func() error {
		defer stop() // the worker ends with the job, and the job with the worker
		start := time.Now()
		handles, err := j.enqueue(ctx)
		if err != nil {
			return err
		}
		j.outcomes, err = j.wait(ctx, handles)
		j.took = time.Since(start)
		return err
	})
	return g.Wait()
}

// worker takes its settings from the environment. By default it runs two tasks
// for each processor, so that one can read while another parses.
func (j *job) worker() (*orchestrator.Worker, error) {
	config, err := orchestrator.WorkerConfigFromEnv()
	if err != nil {
		return nil, err
	}
	if config.PoolSize == 0 {
		config.PoolSize = 2 * runtime.GOMAXPROCS(0)
	}
	if !verbose() {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	mux := orchestrator.NewMux()
	generated.RegisterSource(mux, indexer{tree: j.tree})
	return orchestrator.NewWorker(j.client, mux, config), nil
}

// enqueue returns a handle for each of the job's payloads.
func (j *job) enqueue(ctx context.Context) ([]orchestrator.Handle[generated.SourceIndexResult], error) {
	run := orchestrator.WithMetadata(map[string]string{"run": j.id})
	var handles []orchestrator.Handle[generated.SourceIndexResult]
	for payloads := range slices.Chunk(j.payloads, batch) {
		more, err := generated.EnqueueSourceIndexMany(ctx, j.client, payloads, run)
		if err != nil {
			return nil, err
		}
		handles = append(handles, more...)
	}
	fmt.Fprintf(j.stderr, "enqueued %s tasks\n", thousands(len(handles)))
	return handles, nil
}

// wait collects the outcomes as they are stored in the database, whichever
// worker wrote them.
func (j *job) wait(ctx context.Context, handles []orchestrator.Handle[generated.SourceIndexResult]) ([]outcome, error) {
	outcomes := make([]outcome, 0, len(handles))
	progress := newProgress(j.stderr, len(handles))
	defer progress.end()
	for result, err := range orchestrator.Results(ctx, handles) {
		one := outcome{payload: j.payloads[len(outcomes)], result: result}
		if err != nil && !errors.As(err, &one.dead) {
			return nil, err
		}
		outcomes = append(outcomes, one)
		progress.add()
	}
	return outcomes, nil
}
