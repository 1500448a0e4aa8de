package devpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// shmRoom is the free space below which a memory file system is not used: a
// cluster is 40 MB, each cloned database 8 MB, and a full one fails in the
// oddest places. Containers often have 64 MB there.
const shmRoom = 768 << 20

// cacheDir is Config.CacheDir, or the default.
func cacheDir(cfg *Config, acct account) (string, error) {
	if cfg.CacheDir == "" {
		return cacheRoot(acct)
	}
	dir, err := filepath.Abs(cfg.CacheDir)
	if err == nil {
		err = makeOurs(dir, acct)
	}
	if err != nil {
		return "", fmt.Errorf("devpg: cache directory: %w", err)
	}
	return dir, nil
}

// cacheRoot is where things that outlive a process are kept: unpacked
// binaries, initialised clusters, development data. As root it is outside
// root's home, which the user that runs PostgreSQL may not enter.
//
// Without a home directory (containers, cron) it is a directory in the
// temporary directory: slower on the next boot, correct all the same.
func cacheRoot(acct account) (string, error) {
	var candidates []string
	if acct.switched {
		candidates = append(candidates, "/var/cache/task-orchestrator")
	} else if dir, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "task-orchestrator"))
	}
	candidates = append(candidates, filepath.Join(tempDir(acct), "task-orchestrator-"+strconv.Itoa(os.Geteuid())))
	return firstUsable(candidates, acct)
}

// scratchRoot is where ephemeral servers live: in memory when there is room,
// else in the temporary directory.
func scratchRoot(acct account) (string, error) {
	name := "orchestrator-devpg-" + strconv.Itoa(os.Geteuid())
	var candidates []string
	if freeBytes("/dev/shm") >= shmRoom {
		candidates = append(candidates, filepath.Join("/dev/shm", name))
	}
	candidates = append(candidates, filepath.Join(tempDir(acct), name))
	return firstUsable(candidates, acct)
}

// tempDir is the temporary directory; root's TMPDIR may lie in root's home,
// closed to the user that runs PostgreSQL.
func tempDir(acct account) string {
	if acct.switched {
		return "/tmp"
	}
	return os.TempDir()
}

func firstUsable(candidates []string, acct account) (string, error) {
	var errs []error
	for _, dir := range candidates {
		err := makeOurs(dir, acct)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("devpg: no directory to keep a server in: %w", errors.Join(errs...))
}

// makeOurs creates dir, or checks that it is a directory of the caller's own.
// The check matters where dir has a guessable name in a directory that
// everybody may write to: data in somebody else's directory are theirs.
func makeOurs(dir string, acct account) error {
	if err := makeDirs(dir, acct); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() || !ownedByCaller(fi) {
		return fmt.Errorf("%s is not a directory of the current user: remove it", dir)
	}
	return enterable(dir, acct)
}

// makeDirs creates dir and its missing parents, so that the server's user may
// pass through whatever the umask says. Directories that exist are not changed.
func makeDirs(dir string, acct account) error {
	err := os.Mkdir(dir, dirMode(acct))
	if errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) {
		if err := makeDirs(filepath.Dir(dir), acct); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode(acct))
	}
	switch {
	case err == nil:
		return os.Chmod(dir, dirMode(acct))
	case errors.Is(err, os.ErrExist):
		return nil
	default:
		return err
	}
}

// openUp lets the server's user read, and run, all that was unpacked below
// dir, whatever the umask took away.
func openUp(dir string, acct account) error {
	if !acct.switched {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		mode := fi.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

// enterable reports a directory on the way to dir that is closed to the
// server's user, typically root's home.
func enterable(dir string, acct account) error {
	if !acct.switched {
		return nil
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		if err != nil {
			return err
		}
		if fi.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is closed to user %s, which runs PostgreSQL for root, so %s cannot be used: choose a directory outside it",
				d, acct.name, dir)
		}
	}
	return nil
}

// dirMode lets the server's user pass through when it is not the caller.
func dirMode(acct account) os.FileMode {
	if acct.switched {
		return 0o755
	}
	return 0o700
}

// projectDir is the persistent directory of a project: readable by its name,
// unique by its path.
func projectDir(root, project string) (string, error) {
	abs, err := filepath.Abs(project)
	if err != nil {
		return "", fmt.Errorf("devpg: project directory %s: %w", project, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(root, "dev", slug(filepath.Base(abs), 24)+"-"+hex.EncodeToString(sum[:4])), nil
}

// slug reduces s to lower-case letters, digits and underscores, at most n.
func slug(s string, n int) string {
	out := make([]byte, 0, n)
	for i := 0; i < len(s) && len(out) < n; i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			out = append(out, c)
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		default:
			out = append(out, '_')
		}
	}
	if len(out) == 0 {
		return "x"
	}
	return string(out)
}
