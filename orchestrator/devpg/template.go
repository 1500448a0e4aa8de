package devpg

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Template is a migrated database that is cloned instead of migrated again.
// Its methods are safe for concurrent use.
type Template struct {
	databases *databases
	name      string // as the caller knows it
	database  string

	once sync.Mutex // held while it is made
	made bool
}

// Template returns the template called name, made by the first call: a new
// database handed to migrate by its URL, then sealed, so that nobody connects
// to it and it can be cloned at any time. Further calls with that name wait
// for the first and ignore their migrate. When migrate fails, its error is
// returned, the database is dropped and the next call tries again.
//
// Connections that migrate leaves open are closed by the server.
func (s *Server) Template(ctx context.Context, name string, migrate func(ctx context.Context, url string) error) (*Template, error) {
	t := s.databases.template(name)
	t.once.Lock()
	defer t.once.Unlock()
	if t.made {
		return t, nil
	}
	if err := t.make(ctx, migrate); err != nil {
		return nil, fmt.Errorf("devpg: template %q: %w", name, err)
	}
	t.made = true
	return t, nil
}

func (d *databases) template(name string) *Template {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.templates[name]
	if !ok {
		t = &Template{databases: d, name: name, database: d.name("t") + "_" + slug(name, 24)}
		d.templates[name] = t
	}
	return t
}

func (t *Template) make(ctx context.Context, migrate func(ctx context.Context, url string) error) (err error) {
	d := t.databases
	url, err := withDatabase(d.base, t.database)
	if err != nil {
		return err
	}
	if err := d.create(ctx, t.database, ""); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropBound)
			defer cancel()
			err = errors.Join(err, d.drop(ctx, t.database, true))
		}
	}()
	if migrate != nil {
		if err := migrate(ctx, url); err != nil {
			return err
		}
	}
	return t.seal(ctx)
}

// seal lets nobody in and the last ones out: CREATE DATABASE refuses to copy
// a database that somebody is connected to.
func (t *Template) seal(ctx context.Context) error {
	d := t.databases
	_, err := d.admin.Exec(ctx, "ALTER DATABASE "+quote(t.database)+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
	if err != nil {
		return err
	}
	_, err = d.admin.Exec(ctx, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "+
		"WHERE datname = $1 AND backend_type = 'client backend'", t.database)
	return err
}

// Clone creates a database that is a copy of the template and returns its URL.
// drop removes it again, ending whatever is still connected; it may be called
// more than once, also after Stop. drop reports nothing: a database it fails
// to remove goes with the server, or with the next sweep.
func (t *Template) Clone(ctx context.Context) (url string, drop func(), err error) {
	d := t.databases
	name := d.name("c")
	if url, err = withDatabase(d.base, name); err != nil {
		return "", nil, err
	}
	if err := d.create(ctx, name, t.database); err != nil {
		return "", nil, fmt.Errorf("devpg: clone template %q: %w", t.name, err)
	}
	return url, sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropBound)
		defer cancel()
		_ = d.drop(ctx, name, true)
	}), nil
}
