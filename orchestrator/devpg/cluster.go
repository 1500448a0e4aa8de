package devpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// superuser is the role that owns every cluster made here.
const superuser = "postgres"

// initialise creates a database cluster in data. Only loopback connections
// are ever listened for, and those need the superuser's password, which may be
// given as the verifier a server stores of it.
func initialise(ctx context.Context, bin Binaries, acct account, data, password string, durable bool) error {
	// The password goes through a file: arguments show in the process list.
	pwfile := data + ".password"
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	defer os.Remove(pwfile)
	if err := acct.own(pwfile); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := acct.own(data); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	args := append(initdbArgs(durable), "--pwfile", pwfile, "--pgdata", data)
	cmd := command(bin, acct, filepath.Dir(data), "initdb", args...)
	out, err := runBounded(ctx, cmd)
	if err != nil {
		return fmt.Errorf("devpg: create a database cluster in %s with %s: %w\n%s", data, bin.program("initdb"), err, indent(out))
	}
	return nil
}

// clusterForm changes when cached clusters are made differently, so that old
// ones are not used again.
const clusterForm = "2"

// initdbArgs are the arguments that decide what is in a cluster. Locale C
// exists everywhere and sorts the same everywhere.
func initdbArgs(durable bool) []string {
	args := []string{"--username", superuser, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"}
	if !durable {
		args = append(args, "--no-sync")
	}
	return args
}

// cachedCluster returns an initialised cluster of this PostgreSQL that is
// never started, only copied: initdb costs half a second, a copy 50 ms, and
// `go test ./...` starts a server for each package. It holds no data; its
// password is shared by this user's ephemeral servers, and readable by this
// user alone.
func cachedCluster(ctx context.Context, root string, bin Binaries, acct account) (data, password string, err error) {
	key := sha256.Sum256([]byte(strings.Join(append(initdbArgs(false), bin.Version, bin.Dir, acct.name, clusterForm), "\x00")))
	clusters := filepath.Join(root, "clusters")
	home := filepath.Join(clusters, slug(bin.Version, 12)+"-"+hex.EncodeToString(key[:6]))
	read := func() (string, string, error) {
		pw, err := os.ReadFile(filepath.Join(home, "password"))
		return filepath.Join(home, "data"), strings.TrimSpace(string(pw)), err
	}
	if data, password, err = read(); err == nil {
		now := time.Now()
		_ = os.Chtimes(home, now, now) // for pruneClusters
		return data, password, nil
	}

	if err := makeDirs(clusters, acct); err != nil {
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	lock, err := waitLock(ctx, filepath.Join(clusters, "lock"))
	if err != nil {
		return "", "", err
	}
	defer lock.unlock()
	if data, password, err = read(); err == nil { // another process made it meanwhile
		return data, password, nil
	}

	pruneClusters(clusters)
	tmp := home + ".tmp" // ours alone under the lock; a killed process may have left it
	if err := os.RemoveAll(tmp); err != nil {
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	if err := acct.own(tmp); err != nil { // initdb works inside it
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	password = newPassword()
	verifier, err := scramVerifier(password)
	if err != nil {
		return "", "", err
	}
	if err := initialise(ctx, bin, acct, filepath.Join(tmp, "data"), verifier, false); err != nil {
		_ = os.RemoveAll(tmp)
		return "", "", err
	}
	if err := os.WriteFile(filepath.Join(tmp, "password"), []byte(password), 0o600); err != nil {
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	if err := os.Rename(tmp, home); err != nil {
		return "", "", fmt.Errorf("devpg: %w", err)
	}
	return read()
}

// clusterLife is how long a cached cluster is kept after its last use.
const clusterLife = 30 * 24 * time.Hour

// pruneClusters removes cached clusters nobody uses any more, those of
// versions since upgraded. It runs only when another is added, so their number
// stays small; what it fails to remove, the next run may.
func pruneClusters(clusters string) {
	homes, _ := filepath.Glob(filepath.Join(clusters, "*-*"))
	for _, home := range homes {
		if fi, err := os.Stat(home); err == nil && time.Since(fi.ModTime()) > clusterLife {
			_ = os.RemoveAll(home)
		}
	}
}

// copyCluster copies a stopped cluster and hands the copy to the account.
func copyCluster(ctx context.Context, from, to string, acct account) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			err = copyFile(path, target)
		}
		return errors.Join(err, acct.own(target))
	})
	if err != nil {
		return fmt.Errorf("devpg: copy the cluster %s to %s (remove the former if it is damaged): %w", from, to, err)
	}
	return nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// indent sets a program's output apart in an error.
func indent(out []byte) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n\t")
}
