package lab

import (
	"context"
	"errors"
	"fmt"
)

// Copy is a fresh copy of a database that build has filled, once a run: for
// tables that take long to fill. Nobody may be connected to it when build
// returns. It stays until the lab is closed.
func (l *Lab) Copy(ctx context.Context, name string, build func(context.Context, *Database) error) (*Database, error) {
	original := l.originals[name]
	if original == nil {
		var err error
		if original, err = l.Database(ctx); err != nil {
			return nil, err
		}
		if err := build(ctx, original); err != nil {
			return nil, errors.Join(fmt.Errorf("bench: make %s: %w", name, err), original.Drop())
		}
		if l.originals == nil {
			l.originals = map[string]*Database{}
		}
		l.originals[name] = original
	}
	// Copying files writes each byte once; the default would write all of them to
	// the log, too.
	return l.create(ctx, " TEMPLATE "+original.name+" STRATEGY file_copy")
}
