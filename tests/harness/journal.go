package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Journal is what attempts of [Numbered] tasks note when they start and end, in
// a table of the test's own and in transactions of their own.
//
// A start is numbered after the engine has given the turn or the slot, an end
// before the engine hears of it. So attempts that overlap in the journal did
// overlap. The attempts of a killed process end with the entry of its death,
// which is made when the process and its connections are gone and before the
// engine may know.
type Journal struct {
	pool   *pgxpool.Pool
	worker string
}

const createJournal = `
CREATE TABLE public.journal (
    entry   bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    worker  text    NOT NULL,
    what    text    NOT NULL,
    task    bigint  NOT NULL,
    type    text    NOT NULL,
    key     text    NOT NULL,
    number  integer NOT NULL,
    early   boolean NOT NULL)`

// writeEntry notes of a start whether it was too early: whether another task of
// the group has the turn, or one that comes before is not over.
const writeEntry = `
INSERT INTO public.journal (worker, what, task, type, key, number, early)
SELECT $1, $2, $3, $4, $5, $6, $2 = 'start' AND (
    EXISTS (SELECT FROM orchestrator.tasks t WHERE ` + ofGroup + ` AND t.state IN (0, 1, 3) AND t.id <> $3)
    OR EXISTS (SELECT FROM orchestrator.tasks t WHERE ` + ofGroup + ` AND t.state = 2 AND t.id < $3))
FROM (VALUES ($4::text || '["' || $5::text || '"]')) AS g(key)`

const ofGroup = `t.group_key = g.key AND orchestrator.group_hash(t.group_key) = orchestrator.group_hash(g.key)`

// openJournal opens the journal for a worker process, under a name that no
// other has.
func openJournal(ctx context.Context, url, worker string) (*Journal, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 6
	config.ConnConfig.RuntimeParams["application_name"] = worker
	pool, err := pgxpool.NewWithConfig(ctx, config)
	return &Journal{pool, worker}, err
}

// Close closes the journal's connections.
func (j *Journal) Close() { j.pool.Close() }

func (j *Journal) write(ctx context.Context, what string, task *orchestrator.Raw, p Numbered) error {
	_, err := j.pool.Exec(context.WithoutCancel(ctx), writeEntry, j.worker, what, int64(task.ID), task.Type, p.Key, p.Number)
	return err
}

// Note makes an entry that is about no task.
func (j *Journal) Note(ctx context.Context, what string) error {
	return j.write(ctx, what, &orchestrator.Raw{}, Numbered{})
}

// hasStarted counts the tasks of a type and key that have started.
const hasStarted = `SELECT count(DISTINCT task) FROM public.journal WHERE what = 'start' AND type = $1 AND key = $2`

// meet returns when n tasks of the type and key have started.
func (j *Journal) meet(ctx context.Context, n int, task *orchestrator.Raw, p Numbered) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var started int
		if err := j.pool.QueryRow(ctx, hasStarted, task.Type, p.Key).Scan(&started); err != nil || started >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Handler does work between two entries. The number -n makes a task wait until
// n of its key have started: n such tasks end when they run at the same time.
func (j *Journal) Handler(work func() error) orchestrator.HandlerFunc {
	return func(ctx context.Context, task *orchestrator.Raw) (_ []byte, err error) {
		var p Numbered
		if err := json.Unmarshal(task.Payload, &p); err != nil {
			return nil, err
		}
		if err := j.write(ctx, "start", task, p); err != nil {
			return nil, err
		}
		defer func() { // after a panic too
			if failed := j.write(ctx, "end", task, p); failed != nil {
				err = failed
			}
		}()
		if p.Number < 0 {
			if err := j.meet(ctx, -p.Number, task, p); err != nil {
				return nil, err
			}
		}
		return nil, work()
	}
}

// Unreliable takes a moment and fails now and then, in all the ways there are.
func Unreliable() error {
	time.Sleep(rand.N(2 * time.Millisecond)) //nolint:forbidigo // the work
	switch rand.IntN(40) {
	case 0, 1:
		return errors.New("not now")
	case 2:
		return orchestrator.Snooze(rand.N(10 * time.Millisecond))
	case 3:
		return orchestrator.RetryAfter(0, errors.New("at once"))
	case 4:
		panic("oh")
	case 5:
		return orchestrator.Permanent(errors.New("never"))
	}
	return nil
}

// JournalProgram works definitions with [Unreliable] handlers.
func JournalProgram(definitions ...*orchestrator.Definition) Program {
	return func(ctx context.Context) error {
		client, journal, config, err := OpenProgram(ctx)
		if err != nil {
			return err
		}
		defer journal.Close()
		Say("ready")
		err = orchestrator.NewWorker(client, Mux(journal.Handler(Unreliable), definitions...), config).Run(ctx)
		return errors.Join(err, client.Close())
	}
}

// OpenProgram is how a program of a [Crew] begins.
func OpenProgram(ctx context.Context) (client *orchestrator.Client, journal *Journal, worker orchestrator.WorkerConfig, err error) {
	url := os.Getenv("DATABASE_URL")
	if worker, err = orchestrator.WorkerConfigFromEnv(); err != nil {
		return nil, nil, worker, err
	}
	config, err := orchestrator.ClientConfigFromEnv()
	if err != nil {
		return nil, nil, worker, err
	}
	if client, err = orchestrator.Open(ctx, url, config); err != nil {
		return nil, nil, worker, err
	}
	if journal, err = openJournal(ctx, url, os.Getenv("WORKER_NAME")); err != nil {
		return nil, nil, worker, errors.Join(err, client.Close())
	}
	return client, journal, worker, nil
}

// Crew is worker processes that are killed and replaced. Their program
// begins with [OpenProgram].
type Crew struct {
	db      *Observer
	program string
	env     []string
	members map[int]member // by process id
	started int
}

type member struct {
	*Process
	name string
}

// StartCrew starts n processes of a program and creates their journal.
func StartCrew(t testing.TB, db *Observer, n int, program, url string, env ...string) *Crew {
	t.Helper()
	db.Exec(t, createJournal)
	c := &Crew{db: db, program: program, env: append(env,
		// Nobody loses a lease by accident: a handler that goes on without one
		// overlaps with another. Those who are killed lose theirs at once.
		"DATABASE_URL="+url, "WORKER_TIMEOUT=10m", "HEARTBEAT_INTERVAL=100ms", "LEADER_TERM=1s", "CLAIM_INTERVAL=50ms", "LOG_LEVEL=error",
	), members: map[int]member{}}
	for range n {
		c.start(t)
	}
	for _, m := range c.members {
		m.Expect(t, "ready")
	}
	return c
}

func (c *Crew) start(t testing.TB) member {
	t.Helper()
	c.started++
	name := fmt.Sprintf("worker-%d", c.started)
	m := member{Start(t, c.program, append(c.env, "WORKER_NAME="+name)...), name}
	c.members[m.PID()] = m
	return m
}

// KillOne kills a process in the middle of tasks, and starts another.
func (c *Crew) KillOne(t testing.TB) {
	t.Helper()
	pid := 0
	Await(t, "a process that runs tasks", func() bool {
		err := c.db.Pool.QueryRow(t.Context(), `
			SELECT w.pid FROM workers w WHERE EXISTS (SELECT FROM tasks t WHERE t.state = 1 AND t.worker_id = w.id)
			ORDER BY random() LIMIT 1`).Scan(&pid)
		if !errors.Is(err, pgx.ErrNoRows) {
			require.NoError(t, err)
		}
		return c.members[pid].Process != nil
	})
	killed := c.members[pid]
	killed.Kill(t)
	delete(c.members, pid)
	c.db.AwaitTrue(t, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)`, killed.name)
	c.db.Exec(t, `INSERT INTO public.journal (worker, what, task, type, key, number, early) VALUES ($1, 'death', 0, '', '', 0, false)`, killed.name)
	c.db.Exec(t, `UPDATE workers SET heartbeat_at = now() - 2 * lease WHERE pid = $1`, pid)
	c.start(t).Expect(t, "ready")
}

// Stop stops all processes in order.
func (c *Crew) Stop(t testing.TB) {
	t.Helper()
	for _, m := range c.members {
		m.Terminate(t)
	}
}

// Entries is what the journal says of one key.
type Entries struct {
	Started []int // numbers in the order in which they started, each retry left out
	Peak    int   // attempts that ran at the same time, at most
}

// ReadJournal reads the entries of a type's keys; "" is all keys together. It
// checks what holds for all types: no start is too early, no task runs twice
// at a time, and nobody acts after his death.
func ReadJournal(t testing.TB, db *Observer, d *orchestrator.Definition) map[string]Entries {
	t.Helper()
	rows, err := db.Pool.Query(t.Context(),
		`SELECT entry, worker, what, task, key, number, early FROM public.journal WHERE type = $1 OR what = 'death' ORDER BY entry`, d.Name)
	require.NoError(t, err)
	defer rows.Close()
	all, running, dead := map[string]Entries{}, map[string]map[int64]string{"": {}}, map[string]bool{}
	for rows.Next() {
		var entry, task int64
		var worker, what, key string
		var number int
		var early bool
		require.NoError(t, rows.Scan(&entry, &worker, &what, &task, &key, &number, &early))
		if dead[worker] || early {
			require.FailNow(t, "acts too early or after its death", "entry %d: %s of task %d, number %d of %s, by %s", entry, what, task, number, key, worker)
		}
		if what == "death" {
			dead[worker] = true
			for _, of := range running {
				for task, by := range of {
					if by == worker {
						delete(of, task)
					}
				}
			}
			continue
		}
		if running[key] == nil {
			running[key] = map[int64]string{}
		}
		for _, k := range []string{key, ""} {
			if what == "end" {
				require.Equal(t, worker, running[k][task], "entry %d: the end of an attempt that does not run", entry)
				delete(running[k], task)
				continue
			}
			require.Empty(t, running[k][task], "entry %d: another attempt of task %d runs", entry, task)
			running[k][task] = worker
			e := all[k]
			e.Peak = max(e.Peak, len(running[k]))
			if n := len(e.Started); n == 0 || e.Started[n-1] != number {
				e.Started = append(e.Started, number)
			}
			all[k] = e
		}
	}
	require.NoError(t, rows.Err())
	for key, of := range running {
		require.Empty(t, of, "attempts of %q that have not ended", key)
	}
	return all
}
