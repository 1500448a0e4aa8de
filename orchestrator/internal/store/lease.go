package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// Worker is a worker process as it registers.
type Worker struct {
	ID      int64
	Lease   time.Duration
	Slots   int
	PID     int
	Host    string
	Version string
	Queues  []string
	// Schedules are the declarations of schedules that its spec has.
	Schedules []int32
}

const register = `
INSERT INTO orchestrator.workers (id, lease, slots, pid, host, version, queues, schedules)
VALUES ($1, $2 * interval '1 microsecond', $3, $4, $5, $6, $7::text[], coalesce($8::integer[], '{}'))
RETURNING now()`

// Register announces a worker, which from now on must send heartbeats. It
// returns the database's time.
func (s *Store) Register(ctx context.Context, w Worker) (now time.Time, err error) {
	err = s.queryRow(ctx, register, w.ID, w.Lease.Microseconds(), w.Slots, w.PID, w.Host, w.Version, w.Queues, w.Schedules).Scan(&now)
	return now, wrap("register the worker", err)
}

const heartbeat = `
UPDATE orchestrator.workers SET heartbeat_at = now(), slots = $2, busy = $3, held = $4::jsonb, idle = $5, draining = $6 WHERE id = $1`

// Vitals is what a worker says of itself with every heartbeat.
type Vitals struct {
	Slots    int
	Busy     int            // slots that run a task
	Held     map[string]int // tasks that it has claimed and not finished, by queue
	Idle     bool           // it wants to be notified of new tasks
	Draining bool           // it claims nothing more
}

// Heartbeat renews a worker's lease on its reserved connection. It returns
// false when the worker's row is gone: then its lease is lost for good.
func (s *Store) Heartbeat(ctx context.Context, conn *pgx.Conn, worker int64, v Vitals) (bool, error) {
	held, err := json.Marshal(v.Held)
	if err != nil {
		return false, wrap("heartbeat", err)
	}
	tag, err := conn.Exec(ctx, s.text(heartbeat), worker, v.Slots, v.Busy, string(held), v.Idle, v.Draining)
	return tag.RowsAffected() == 1, wrap("heartbeat", err)
}

const setIdle = `UPDATE orchestrator.workers SET idle = $2 WHERE id = $1 AND idle <> $2`

// SetIdle says whether the worker wants to be notified of new tasks.
func (s *Store) SetIdle(ctx context.Context, worker int64, idle bool) error {
	_, err := s.exec(ctx, setIdle, worker, idle)
	return wrap("set the idle flag", err)
}

const deregister = `DELETE FROM orchestrator.workers WHERE id = $1`

// Deregister removes a worker that holds no tasks any more.
func (s *Store) Deregister(ctx context.Context, worker int64) error {
	_, err := s.exec(ctx, deregister, worker)
	return wrap("deregister the worker", err)
}

// Dead workers are removed in the transaction that recovers their tasks: a
// heartbeat that comes meanwhile waits for the row, finds it gone and knows.
const removeDead = `
DELETE FROM orchestrator.workers w WHERE w.id = ANY (ARRAY(
    SELECT d.id FROM orchestrator.workers d WHERE d.heartbeat_at < now() - d.lease ORDER BY d.id FOR UPDATE SKIP LOCKED))
RETURNING w.id`

// lost finds running tasks whose worker is not there, by reading the table. It
// goes by the workers that are there, not by those who have just died: a frozen
// worker's claim can land after its recovery.
// The crash of a task that had a durable start mark counts as an attempt; any
// other task only stood near the crash and goes back as a suspect, uncharged.
const lost = `
SELECT t.id, t.started_at IS NOT NULL, t.attempts, coalesce(t.max_attempts, 0), t.contract,
    (SELECT r.reason FROM orchestrator.cancel_requests r WHERE r.task_id = t.id)
FROM orchestrator.tasks t
WHERE t.state = 1 AND NOT EXISTS (SELECT FROM orchestrator.workers w WHERE w.id = t.worker_id)
ORDER BY t.id LIMIT $1
FOR UPDATE OF t SKIP LOCKED`

// The error of an attempt that ended with its process.
const (
	crashErrorOfT = `jsonb_build_object('attempt', t.attempts + 1, 'code', 'crashed',
        'message', 'the worker process died while it ran this task')::text`
	crashErrorOfG = `jsonb_build_object('attempt', g.attempts + 1, 'code', 'crashed',
        'message', 'the worker process died while it ran this task')::text`
)

const recoverLost = `
UPDATE orchestrator.tasks t
SET state = 0, waits_for = 0, worker_id = NULL, claim = NULL, started_at = NULL, suspect = true, run_at = now(),
    attempts = t.attempts + x.charge,
    errors = CASE WHEN x.charge = 0 THEN t.errors ELSE orchestrator.add_error(t.errors, ` + crashErrorOfT + `) END
FROM unnest($1::bigint[], $2::smallint[]) AS x(id, charge)
WHERE t.id = ANY ($1::bigint[]) AND x.id = t.id`

const buryLost = `
WITH gone AS (
    DELETE FROM orchestrator.tasks t WHERE t.id = ANY ($1::bigint[])
    RETURNING ` + deadColumnsOf + `, t.limit_slot, t.contract <> ALL ($2::integer[]) AS gives_turn)` + tell + `7::smallint AS state, (g.attempts + 1)::smallint AS attempts FROM gone g` + tellTo + `,
moved AS (
` + insertDead + `
SELECT ` + deadValues + `, g.attempts + 1, orchestrator.add_error(g.errors, ` + crashErrorOfG + `), 'crashed'
FROM gone g),
blocked AS (
    UPDATE orchestrator.groups b SET blocked_by = g.id FROM gone g
    WHERE b.key = g.group_key AND g.contract = ANY ($2::integer[]))` + endedByOthers

// Recovery is what one turn of [Store.Recover] found.
type Recovery struct {
	Workers []int64 // that were declared dead
	Swept   bool    // tasks without a worker were looked for
	Back    int     // tasks put back into the queue
	Dead    int     // tasks that used up their attempts by crashing
	DeadOf  []Moved // which those are
	// Cancelled are tasks that somebody wanted cancelled when their worker died.
	Cancelled []Moved
	Handed    Handed // whom their turns and slots went to
}

// Recover declares workers dead whose heartbeat is older than their lease and
// takes back the tasks of workers that are not there, at most limit of them, in
// one transaction. Without a death it looks for such tasks only when it is to
// sweep: that reads the whole table. It does nothing unless the leader still
// holds the epoch. maxAttempts says how many
// attempts a task has, given its contract and the number of its own, if any;
// blocking are the contracts whose dead letters hold up their groups.
func (s *Store) Recover(
	ctx context.Context, l Leadership, limit int, sweep bool, maxAttempts func(contract int32, own int16) int16, blocking []int32,
) (r Recovery, err error) {
	if blocking == nil {
		blocking = []int32{}
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		rows, err := tx.Query(ctx, s.text(removeDead))
		if err != nil {
			return err
		}
		if r.Workers, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return err
		}
		if len(r.Workers) == 0 && !sweep {
			return nil
		}
		r.Swept = true
		if _, err := tx.Exec(ctx, forAsLongAsItTakes); err != nil {
			return err
		}
		found, err := s.sortLost(ctx, tx, limit, maxAttempts)
		if err != nil {
			return err
		}
		r.Back, r.Dead = len(found.back), len(found.dead)
		if _, err := tx.Exec(ctx, s.text(recoverLost), found.back, found.charges); err != nil {
			return err
		}
		if len(found.cancelled) > 0 {
			if r.Cancelled, r.Handed, err = s.end(ctx, tx, cancelLost, found.cancelled, found.reasons); err != nil {
				return err
			}
		}
		if len(found.dead) == 0 {
			return nil
		}
		var h Handed
		r.DeadOf, h, err = s.end(ctx, tx, buryLost, found.dead, blocking)
		r.Handed.add(h)
		return err
	})
	return r, wrap("recover lost tasks", err)
}

// lostTasks are the tasks of dead workers, by what becomes of them.
type lostTasks struct {
	back      []int64
	charges   []int16 // attempts that each of back is charged
	dead      []int64
	cancelled []int64
	reasons   []string // of cancelled
}

func (s *Store) sortLost(ctx context.Context, tx pgx.Tx, limit int, maxAttempts func(contract int32, own int16) int16) (found lostTasks, err error) {
	rows, err := tx.Query(ctx, s.text(lost), limit)
	if err != nil {
		return found, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var started bool
		var attempts, own int16
		var contract int32
		var reason *string
		if err := rows.Scan(&id, &started, &attempts, &own, &contract, &reason); err != nil {
			return found, err
		}
		switch {
		case reason != nil:
			found.cancelled, found.reasons = append(found.cancelled, id), append(found.reasons, *reason)
		case started && attempts+1 >= maxAttempts(contract, own):
			found.dead = append(found.dead, id)
		case started:
			found.back, found.charges = append(found.back, id), append(found.charges, 1)
		default:
			found.back, found.charges = append(found.back, id), append(found.charges, 0)
		}
	}
	return found, rows.Err()
}
