package lab

import (
	"fmt"
	"os"
	"syscall"
)

// lockFile holds off a second run, whose load would fall on both.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("bench: lock %s: %w: another run is under way; wait for its end", path, err)
	}
	return f, nil
}
