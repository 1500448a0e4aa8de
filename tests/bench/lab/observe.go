package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Observed is what PostgreSQL did while something was measured.
type Observed struct {
	// Transactions are those that committed in the database, of all sessions.
	Transactions int64
	// WALBytes is what was written to the log, by everybody.
	WALBytes int64
	// ServerCPU is what all its processes used; 0 where there is no /proc.
	ServerCPU time.Duration
}

// Observe runs do and tells what PostgreSQL did meanwhile. It waits for do's
// sessions to end, since that is when they hand in their counts.
func (d *Database) Observe(ctx context.Context, do func() error) (Observed, error) {
	before, err := d.observe(ctx)
	if err != nil {
		return Observed{}, err
	}
	if err := do(); err != nil {
		return Observed{}, err
	}
	after, err := d.observe(ctx)
	if err != nil {
		return Observed{}, err
	}
	return after.since(before), nil
}

func (o Observed) since(before Observed) Observed {
	return Observed{
		Transactions: o.Transactions - before.Transactions,
		WALBytes:     o.WALBytes - before.WALBytes,
		ServerCPU:    o.ServerCPU - before.ServerCPU,
	}
}

// Watch tells what PostgreSQL does for so long, while sessions stay that there
// are. They hand in their counts about once a second.
func (d *Database) Watch(ctx context.Context, long time.Duration) (Observed, error) {
	conn, err := pgx.Connect(ctx, d.lab.server.URL())
	if err != nil {
		return Observed{}, fmt.Errorf("bench: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before, err := d.counters(ctx, conn)
	if err != nil {
		return Observed{}, err
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return Observed{}, context.Cause(ctx)
	}
	after, err := d.counters(ctx, conn)
	return after.since(before), err
}

// observe asks from another database, so that asking does not count.
func (d *Database) observe(ctx context.Context) (o Observed, err error) {
	cpu := d.lab.serverCPU() // before the rest: what is asked below is not theirs
	conn, err := pgx.Connect(ctx, d.lab.server.URL())
	if err != nil {
		return o, fmt.Errorf("bench: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := d.awaitNoSessions(ctx, conn); err != nil {
		return o, err
	}
	o, err = d.counters(ctx, conn)
	o.ServerCPU = cpu
	return o, err
}

// counters are what has been counted since the server started.
func (d *Database) counters(ctx context.Context, conn *pgx.Conn) (o Observed, err error) {
	o.ServerCPU = d.lab.serverCPU()
	err = conn.QueryRow(ctx, `SELECT xact_commit, pg_current_wal_insert_lsn() - '0/0'::pg_lsn FROM pg_stat_database WHERE datname = $1`, d.name).
		Scan(&o.Transactions, &o.WALBytes)
	if err != nil {
		return o, fmt.Errorf("bench: read the statistics of %s: %w", d.name, err)
	}
	return o, nil
}

// sessionsBound is how long sessions may take to end after their clients; a
// program that is measured may also leave some on purpose.
const sessionsBound = 5 * time.Second

// awaitNoSessions waits for client sessions of the database to end, or until
// the bound is over. One that is idle in a transaction is there on purpose.
func (d *Database) awaitNoSessions(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(sessionsBound); time.Now().Before(deadline); {
		var n int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' AND state <> 'idle in transaction'`, d.name).Scan(&n)
		if err != nil {
			return fmt.Errorf("bench: count sessions: %w", err)
		}
		if n == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// clockTick is the unit of /proc/PID/stat, 100 a second on every Linux that Go
// runs on.
const clockTick = 10 * time.Millisecond

// serverCPU sums what the postmaster and its children have used, those that
// have ended included, which the postmaster has waited for. 0 is unknown.
func (l *Lab) serverCPU() time.Duration {
	pidfile, err := os.ReadFile(filepath.Join(l.server.DataDir(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	pid, _, _ := strings.Cut(string(pidfile), "\n")
	for range 100 {
		own, ended, _, err := processCPU(pid)
		if err != nil {
			return 0
		}
		total := own + ended
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, process := range processes {
			if own, _, parent, err := processCPU(filepath.Base(process)); err == nil && parent == pid {
				total += own
			}
		}
		// One that ended meanwhile is in neither sum.
		if _, endedNow, _, err := processCPU(pid); err == nil && endedNow == ended {
			return total
		}
	}
	return 0
}

// processCPU reads a process's CPU time, that of its children that have ended,
// and its parent.
func processCPU(pid string) (own, ended time.Duration, parent string, err error) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, 0, "", err
	}
	// The second field is the name in parentheses, which may hold anything.
	_, rest, _ := strings.Cut(string(stat[max(0, strings.LastIndexByte(string(stat), ')')):]), " ")
	fields := strings.Fields(rest) // from the third on
	if len(fields) < 15 {
		return 0, 0, "", fmt.Errorf("bench: /proc/%s/stat has %d fields", pid, len(fields))
	}
	var ticks [4]int64 // utime, stime, cutime, cstime
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return 0, 0, "", err
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * clockTick, time.Duration(ticks[2]+ticks[3]) * clockTick, fields[1], nil
}
