package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

const (
	partialSuffix = ".partial"
	// abandonedAfter is how long nothing was written to a partial dump that no
	// live pg_dump is writing.
	abandonedAfter = time.Hour
)

// dumpName is shop-20261121T023000.125Z-42.dump: names sort as the dumps were
// made, and tell by which task.
func dumpName(database string, at time.Time, id orchestrator.TaskID) string {
	return fmt.Sprintf("%s-%s-%s.dump", database, at.UTC().Format("20060102T150405.000Z"), id)
}

// dumpNames matches the names of one database's dumps, whole or partial.
func dumpNames(database string) *regexp.Regexp {
	return regexp.MustCompile(`^(\.?)` + regexp.QuoteMeta(database) + `-\d{8}T\d{6}\.\d{3}Z-\d+\.dump(` + regexp.QuoteMeta(partialSuffix) + `)?$`)
}

// prune removes the oldest of a database's dumps until keep are left, and what
// killed workers left of partial ones. It tells which whole dumps it removed.
func prune(dir, database string, keep int, now time.Time) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := dumpNames(database)
	var whole []string
	for _, entry := range entries {
		switch name := entry.Name(); {
		case !names.MatchString(name):
		case !strings.HasSuffix(name, partialSuffix):
			whole = append(whole, name)
		default:
			if info, gone := entry.Info(); gone == nil && now.Sub(info.ModTime()) > abandonedAfter {
				err = errors.Join(err, removeIfThere(filepath.Join(dir, name)))
			}
		}
	}
	slices.Sort(whole)
	for _, name := range whole[:max(len(whole)-keep, 0)] {
		path := filepath.Join(dir, name)
		if removal := removeIfThere(path); removal != nil {
			err = errors.Join(err, removal)
			continue
		}
		removed = append(removed, path)
	}
	return removed, err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncDirectory makes a renamed file's name as durable as the file, which
// pg_dump has synchronised.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
