package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// errPortTaken says that another process listens on the port we chose.
var errPortTaken = errors.New("devpg: the port is taken")

// readyBound is how long a server may take to accept connections. Crash
// recovery of a development database is the slow case.
const readyBound = 2 * time.Minute

// awaitReady returns when the server at url accepts connections and is the one
// that runs on data: another server may have taken the port in between, and
// ephemeral servers of one user share a password.
func awaitReady(ctx context.Context, url, data string, exited <-chan struct{}) error {
	ctx, stop := context.WithTimeoutCause(ctx, readyBound,
		fmt.Errorf("devpg: the server on %s did not accept connections within %v", data, readyBound))
	defer stop()
	// Whoever took the port may accept connections and never answer: the
	// server's exit has to end an attempt that is under way.
	ctx, giveUp := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer giveUp(nil)
	watch.Go(func() {
		select {
		case <-exited:
			giveUp(errors.New("devpg: the server exited while starting"))
		case <-ctx.Done():
		}
	})

	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	cfg.ConnectTimeout = 5 * time.Second
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-retry.C:
		}
		theirs, err := dataDirectory(ctx, cfg)
		switch {
		case err != nil:
			retry.Reset(10 * time.Millisecond)
		case sameDir(theirs, data):
			return nil
		default:
			return errPortTaken
		}
	}
}

func dataDirectory(ctx context.Context, cfg *pgx.ConnConfig) (string, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var dir string
	err = conn.QueryRow(ctx, "SELECT current_setting('data_directory')").Scan(&dir)
	return dir, err
}

func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

// The range ports are chosen from lies below the systems' ranges for outgoing
// connections (Linux from 32768, macOS from 49152). Inside those, a client
// that retries while the server is halted could be given the server's own port
// as its source, connect to itself, and keep the port from being bound again.
const (
	firstPort = 20000
	lastPort  = 31999
)

// choosePort returns a port that was free a moment ago. Somebody may take it
// before the server does: starts are retried with another.
func choosePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if portFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("devpg: 100 ports between %d and %d on 127.0.0.1 are all taken", firstPort, lastPort)
}

func portFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// logTail returns what the server wrote to its log from offset on, the last
// 4 KB of it.
func logTail(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		offset = max(offset, size-most)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	b, _ := io.ReadAll(f)
	return strings.TrimSpace(string(b))
}

// saysPortTaken recognises the server's own words for it; we run it with
// English messages.
func saysPortTaken(log string) bool {
	return strings.Contains(log, "could not bind") || strings.Contains(log, "could not create any TCP/IP sockets")
}
