package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Apply makes the changes: all of them, or none when there is an error.
//
// Every new file is first written beside its place, so that a full disk or a
// missing permission is found before the first file is replaced; then each is
// renamed into place, and what was renamed is put back if a later one fails.
func (c *Changes) Apply() error {
	if len(c.changes) == 0 {
		return nil
	}
	if err := c.apply(); err != nil {
		return fmt.Errorf("generate: nothing was changed: %w", err)
	}
	return nil
}

func (c *Changes) apply() (err error) {
	_, statErr := os.Stat(c.dir)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	staged := make([]string, len(c.changes))
	done := 0
	defer func() {
		if err == nil {
			return
		}
		for _, path := range staged {
			if path != "" {
				_ = os.Remove(path) // gone already if it was renamed
			}
		}
		for _, ch := range c.changes[:done] {
			err = errors.Join(err, c.restore(ch))
		}
		if errors.Is(statErr, fs.ErrNotExist) {
			_ = os.Remove(c.dir)
		}
	}()
	for i, ch := range c.changes {
		if ch.new == nil {
			continue
		}
		if staged[i], err = stage(c.dir, ch); err != nil {
			return err
		}
	}
	for i, ch := range c.changes {
		path := filepath.Join(c.dir, ch.name)
		if ch.new == nil {
			err = os.Remove(path)
		} else {
			err = os.Rename(staged[i], path)
		}
		if err != nil {
			return err
		}
		done++
	}
	return nil
}

// stage writes the new content beside its place. The name does not end in .go,
// so that a build which runs meanwhile does not see it.
func stage(dir string, ch change) (path string, err error) {
	f, err := os.CreateTemp(dir, "."+ch.name+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(ch.new)
	return f.Name(), errors.Join(err, f.Chmod(ch.mode), f.Close())
}

func (c *Changes) restore(ch change) error {
	path := filepath.Join(c.dir, ch.name)
	if ch.old == nil {
		return os.Remove(path)
	}
	return os.WriteFile(path, ch.old, ch.mode)
}
