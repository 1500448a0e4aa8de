package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// With apt, PostgreSQL is the release line of the distribution: the packages
// that an installation would add are downloaded and unpacked side by side,
// which needs no right and changes nothing. The distribution's signatures
// cover them.

func aptUnpacked(home string) (Binaries, bool) {
	dirs := newestFirst(filepath.Join(home, "usr/lib/postgresql/*/bin"))
	if len(dirs) == 0 || !isFile(filepath.Join(dirs[0], "postgres")) {
		return Binaries{}, false
	}
	libs, _ := filepath.Glob(filepath.Join(home, "usr/lib/*-linux-gnu*"))
	return Binaries{Dir: dirs[0], Source: "apt", libDir: strings.Join(libs, ":")}, true
}

func aptFetch(ctx context.Context, cfg *Config, tmp string) error {
	err := aptDownload(ctx, cfg, tmp)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// Containers come without package lists, and old lists name packages that
	// the mirrors dropped: both are mended by an update.
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w\n\tthe package lists may be missing or old: run sudo apt-get update", err)
	}
	cfg.note("devpg: apt has no usable package lists; running apt-get update")
	if _, errUpdate := tool(ctx, tmp, "apt-get", "update", "--quiet"); errUpdate != nil {
		return errors.Join(err, errUpdate)
	}
	return aptDownload(ctx, cfg, tmp)
}

func aptDownload(ctx context.Context, cfg *Config, tmp string) error {
	packages, err := aptPackages(ctx, tmp)
	if err != nil {
		return err
	}
	shown, err := tool(ctx, tmp, "apt-cache", append([]string{"show", "--no-all-versions"}, packages...)...)
	if err != nil {
		return err
	}
	cfg.note("devpg: fetching PostgreSQL with apt-get download %s, %d MB, into %s",
		strings.Join(packages, " "), megabytes(sumSizes(string(shown))), filepath.Dir(tmp))
	if _, err := tool(ctx, tmp, "apt-get", append([]string{"download", "--quiet"}, packages...)...); err != nil {
		return err
	}
	archives, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	for _, archive := range archives {
		if _, err := tool(ctx, tmp, "dpkg", "--extract", archive, tmp); err != nil {
			return err
		}
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	// An extracted archive sets the mode of the directory it is extracted to.
	return os.Chmod(tmp, 0o755)
}

// aptPackages lists the packages to download: the server's own, always, and
// the libraries that apt would add to this system for them.
func aptPackages(ctx context.Context, dir string) ([]string, error) {
	depends, err := tool(ctx, dir, "apt-cache", "depends", "postgresql")
	if err != nil {
		return nil, err
	}
	server, ok := serverPackage(string(depends))
	if !ok {
		return nil, errors.New("apt knows no package postgresql")
	}
	major, _ := strconv.Atoi(strings.TrimPrefix(server, "postgresql-"))
	if major < oldestMajor {
		return nil, fmt.Errorf("this distribution has %s, the oldest supported is %d", server, oldestMajor)
	}
	packages := []string{server, "postgresql-client-" + strconv.Itoa(major), "libpq5"}
	plan, err := tool(ctx, dir, "apt-get", "install", "--simulate", "--no-install-recommends", server)
	if err != nil {
		return nil, err
	}
	return append(packages, missingLibraries(string(plan), packages)...), nil
}

// serverPackage reads "  Depends: postgresql-15" out of apt-cache depends.
func serverPackage(depends string) (string, bool) {
	for line := range strings.Lines(depends) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && versionIn(name) > 0 && strings.HasPrefix(name, "postgresql-") {
			return name, true
		}
	}
	return "", false
}

// missingLibraries reads lines such as "Inst libicu72 (72.1-3 Debian:12)" out
// of apt-get's plan. Of what is not a library the server needs nothing; LLVM
// is for its just-in-time compiler, 100 MB that it does without.
func missingLibraries(plan string, have []string) []string {
	var names []string
	for line := range strings.Lines(plan) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "Inst" {
			continue
		}
		name := fields[1]
		isLibrary := strings.HasPrefix(name, "lib") && !strings.HasPrefix(name, "libllvm") &&
			!strings.HasPrefix(name, "libz3") && !strings.HasSuffix(name, "-perl")
		if isLibrary && !slices.Contains(have, name) {
			names = append(names, name)
		}
	}
	return names
}

// sumSizes adds up the lines "Size: 196908" of apt-cache show, bytes.
func sumSizes(shown string) int64 {
	var sum int64
	for line := range strings.Lines(shown) {
		if v, ok := strings.CutPrefix(line, "Size: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			sum += n
		}
	}
	return sum
}
