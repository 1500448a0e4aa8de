package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Fsync is how long the disk took to make one page durable.
type Fsync struct{ P50, Max time.Duration }

// fsyncProbes is how many pages are written; pageSize is PostgreSQL's.
const (
	fsyncProbes = 50
	pageSize    = 8192
)

// fsync measures beside the data directory, on its file system, by the call
// that PostgreSQL makes for its log.
func (l *Lab) fsync() (Fsync, error) {
	f, err := os.Create(filepath.Join(filepath.Dir(l.server.DataDir()), "fsync"))
	if err != nil {
		return Fsync{}, fmt.Errorf("bench: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, took := make([]byte, pageSize), make([]time.Duration, fsyncProbes)
	for i := -1; i < fsyncProbes; i++ { // the first allocates
		began := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return Fsync{}, fmt.Errorf("bench: %w", err)
		}
		if err := dataSync(f); err != nil {
			return Fsync{}, fmt.Errorf("bench: sync %s: %w", f.Name(), err)
		}
		if i >= 0 {
			took[i] = time.Since(began)
		}
	}
	slices.Sort(took)
	return Fsync{P50: took[fsyncProbes/2], Max: took[fsyncProbes-1]}, nil
}
