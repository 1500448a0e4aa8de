package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/task-orchestrator/task-orchestrator/examples/backup/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// backups works backup:database.
type backups struct {
	url    string // of the server, and of the database that is dumped unless a payload names another
	dir    string // where dumps are kept
	pgDump string // the program
}

// HandleBackupDatabase dumps into a file with another name and renames it, so
// that what has a dump's name is a whole dump, whatever is cut off and when. An
// attempt that follows one whose end was lost makes another dump.
func (b *backups) HandleBackupDatabase(ctx context.Context, t *tasks.BackupDatabaseTask) (result tasks.BackupDatabaseResult, err error) {
	began := time.Now()
	source, err := newSource(b.url, t.Payload.Database)
	if err != nil {
		return result, orchestrator.Permanent(err)
	}
	if err := source.ask(ctx); err != nil {
		return result, err
	}
	if err := b.checkProgram(ctx, source); err != nil {
		return result, err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return result, err
	}
	partial := filepath.Join(b.dir, "."+dumpName(source.database(), began, t.ID)+partialSuffix)
	defer func() { err = errors.Join(err, removeIfThere(partial)) }()
	// A dump has everything in it: only its owner may read it.
	if err := os.WriteFile(partial, nil, 0o600); err != nil {
		return result, err
	}
	if err := b.dump(ctx, t, source, partial); err != nil {
		return result, err
	}
	result.Bytes, result.Sha256, err = sum(ctx, partial)
	if err != nil {
		return result, err
	}
	result.File = filepath.Join(b.dir, dumpName(source.database(), began, t.ID))
	if err := os.Rename(partial, result.File); err != nil {
		return result, err
	}
	if err := syncDirectory(b.dir); err != nil {
		return result, err
	}
	result.Removed, err = prune(b.dir, source.database(), t.Payload.Keep, began)
	if err != nil {
		// The dump is there: an attempt more would only make another.
		t.Logger().Warn("older dumps could not be removed", "error", err)
	}
	result.Took = orchestrator.Duration(time.Since(began).Round(time.Millisecond))
	t.Logger().Info("dumped", "file", result.File, "bytes", result.Bytes, "took", result.Took.Std())
	return result, nil
}

// sum reads the file back: what is on the disk is what was summed.
func sum(ctx context.Context, path string) (n int64, sha string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	if n, err = io.Copy(hash, reader{ctx, file}); err != nil {
		return 0, "", err
	}
	return n, hex.EncodeToString(hash.Sum(nil)), nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
