package store

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// QueueDepth is how many tasks of one queue there are that are not finished.
type QueueDepth struct {
	Queue     string
	Ready     int64
	Scheduled int64
	Retrying  int64
	Blocked   int64
	Throttled int64
	Running   int64
	Dead      int64
}

// samplePages is how many pages of a table are read to count its rows. A
// larger table is sampled. 40 MB hold some 200,000 tasks with small payloads.
const samplePages = 5_000

// exactLane is up to how many tasks of a lane, or of a queue's blocked or
// throttled ones, are counted one by one in a table that is sampled, so that a
// short queue beside a huge one is counted as what it is. Of more than ten lanes
// it is fewer of each: all together take no longer than ten.
const exactLane = 2_000

// exactOf is up to how many of each of several are counted; $1 is exactLane.
func exactOf(several string) string {
	return `exact AS (SELECT least($1::bigint, 1 + 10 * $1::bigint / greatest(count(*), 1)) AS n FROM ` + several + `)`
}

// tableSizes also lists the queues that somebody declares or works, which are
// there with zeros.
const tableSizes = `
SELECT pg_relation_size('orchestrator.tasks') / current_setting('block_size')::bigint,
    pg_relation_size('orchestrator.tasks_dead') / current_setting('block_size')::bigint,
    ARRAY(SELECT queue FROM orchestrator.task_contracts UNION SELECT unnest(queues) FROM orchestrator.workers)`

const sampleTasks = `
SELECT t.queue,
    count(*) FILTER (WHERE t.state = 0 AND t.run_at <= now()),
    count(*) FILTER (WHERE t.state <> 1 AND t.run_at > now() AND t.attempts = 0),
    count(*) FILTER (WHERE t.state <> 1 AND t.run_at > now() AND t.attempts > 0),
    count(*) FILTER (WHERE t.state = 2 AND t.run_at <= now()),
    count(*) FILTER (WHERE t.state = 3 AND t.run_at <= now()),
    count(*) FILTER (WHERE t.state = 1), 0
FROM orchestrator.tasks t TABLESAMPLE SYSTEM ($1) GROUP BY t.queue`

const sampleDead = `
SELECT d.queue, 0, 0, 0, 0, 0, 0, count(*) FROM orchestrator.tasks_dead d TABLESAMPLE SYSTEM ($1) GROUP BY d.queue`

// heldByWorkers is what the workers that are there said they hold.
const heldByWorkers = `
SELECT h.key, sum(h.value::bigint)::bigint
FROM orchestrator.workers w CROSS JOIN LATERAL jsonb_each_text(w.held) AS h
WHERE w.heartbeat_at >= now() - w.lease GROUP BY h.key`

// waitingLanes steps from lane to lane through the index tasks_ready. Of lanes
// that share a hash it finds one: of 5,000 queues two do with a probability of
// 0.3 %, and then the ready tasks of one are not counted while the other has some
// of that priority.
const waitingLanes = `
WITH RECURSIVE lanes AS (
    (SELECT t.queue, t.sublane, t.priority, orchestrator.lane_hash(t.queue, t.sublane) AS hash
    FROM orchestrator.tasks t WHERE t.waits_for = 0
    ORDER BY orchestrator.lane_hash(t.queue, t.sublane), t.priority LIMIT 1)
    UNION ALL
    SELECT next.queue, next.sublane, next.priority, next.hash FROM lanes CROSS JOIN LATERAL (
        SELECT t.queue, t.sublane, t.priority, orchestrator.lane_hash(t.queue, t.sublane) AS hash FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND (orchestrator.lane_hash(t.queue, t.sublane), t.priority) > (lanes.hash, lanes.priority)
        ORDER BY orchestrator.lane_hash(t.queue, t.sublane), t.priority LIMIT 1) AS next)`

// readyInLane is the condition on the ready tasks of one of waitingLanes.
const readyInLane = `t.waits_for = 0 AND CASE WHEN t.state = 0 AND t.queue = lanes.queue THEN t.sublane = lanes.sublane END
          AND orchestrator.lane_hash(t.queue, t.sublane) = lanes.hash AND t.priority = lanes.priority AND t.run_at <= now()`

// countLanes gives the ready tasks of each queue; when there are more, as a lane
// was not counted to its end, those that were, below 0.
var countLanes = waitingLanes + `,
` + exactOf("lanes") + `
SELECT lanes.queue, CASE WHEN max(ready.n) > exact.n THEN -1 ELSE 1 END * sum(ready.n)::bigint
FROM exact CROSS JOIN lanes CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT FROM orchestrator.tasks t
        WHERE ` + readyInLane + `
        ORDER BY orchestrator.lane_hash(t.queue, t.sublane), t.priority, t.run_at, t.id LIMIT exact.n + 1) AS capped) AS ready
GROUP BY lanes.queue, exact.n`

// countArrivals does the same for the blocked (state 2) and throttled (state 3)
// tasks of each queue. It steps from queue to queue through the index
// tasks_arriving.
var countArrivals = `
WITH RECURSIVE lines AS (
    (SELECT t.queue, t.waits_for AS state FROM orchestrator.tasks t WHERE (t.waits_for IN (2, 3)) IS TRUE ORDER BY t.queue, t.waits_for LIMIT 1)
    UNION ALL
    SELECT next.queue, next.state FROM lines CROSS JOIN LATERAL (
        SELECT t.queue, t.waits_for AS state FROM orchestrator.tasks t
        WHERE (t.waits_for IN (2, 3)) IS TRUE AND (t.queue, t.waits_for) > (lines.queue, lines.state)
        ORDER BY t.queue, t.waits_for LIMIT 1) AS next),
` + exactOf("lines") + `
SELECT lines.queue, lines.state, CASE WHEN due.n > exact.n THEN -due.n ELSE due.n END
FROM exact CROSS JOIN lines CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT FROM orchestrator.tasks t
        WHERE (t.waits_for IN (2, 3)) IS TRUE AND t.queue = lines.queue AND t.waits_for = lines.state AND t.run_at <= now()
          AND CASE WHEN t.state = lines.state THEN true END
        ORDER BY t.queue, t.waits_for, t.run_at, t.id LIMIT exact.n + 1) AS capped) AS due`

// Depth counts the tasks of all queues by state, those of declared queues that
// are empty included. In tables of more than samplePages it estimates what is
// scheduled, retrying or dead, and what is ready in a lane, blocked or throttled
// in a queue when that is more than exactLane; and what is running is what the
// workers said with their last heartbeats.
func (s *Store) Depth(ctx context.Context) ([]QueueDepth, error) { return s.depth(ctx, samplePages) }

func (s *Store) depth(ctx context.Context, samplePages int64) (depths []QueueDepth, err error) {
	byQueue := map[string]*QueueDepth{}
	at := func(queue string) *QueueDepth {
		if byQueue[queue] == nil {
			byQueue[queue] = &QueueDepth{Queue: queue}
		}
		return byQueue[queue]
	}
	err = s.byIndex(ctx, func(tx pgx.Tx) error {
		var pages, deadPages int64
		var queues []string
		if err := tx.QueryRow(ctx, s.text(tableSizes)).Scan(&pages, &deadPages, &queues); err != nil {
			return err
		}
		for _, queue := range queues {
			at(queue)
		}
		read := percent(pages, samplePages)
		if err := s.addDepths(ctx, tx, at, read, sampleTasks, read); err != nil {
			return err
		}
		if read < 100 {
			if err := s.correctReady(ctx, tx, byQueue, at); err != nil {
				return err
			}
			if err := s.correctArrivals(ctx, tx, byQueue, at); err != nil {
				return err
			}
			if err := s.correctRunning(ctx, tx, byQueue, at); err != nil {
				return err
			}
		}
		read = percent(deadPages, samplePages)
		return s.addDepths(ctx, tx, at, read, sampleDead, read)
	})
	for _, d := range byQueue {
		depths = append(depths, *d)
	}
	return depths, wrap("count tasks", err)
}

// percent is how much of a table of so many pages is read.
func percent(pages, most int64) float64 {
	return 100 * min(1, float64(most)/float64(max(pages, 1)))
}

// scaled is how many there are when a sample of so many per cent has n.
func scaled(n int64, percent float64) int64 { return int64(math.Round(float64(n) * 100 / percent)) }

func (s *Store) addDepths(ctx context.Context, tx pgx.Tx, at func(string) *QueueDepth, percent float64, statement string, args ...any) error {
	rows, err := tx.Query(ctx, s.text(statement), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var one QueueDepth
		if err := rows.Scan(&one.Queue, &one.Ready, &one.Scheduled, &one.Retrying, &one.Blocked, &one.Throttled, &one.Running, &one.Dead); err != nil {
			return err
		}
		d := at(one.Queue)
		d.Ready += scaled(one.Ready, percent)
		d.Scheduled += scaled(one.Scheduled, percent)
		d.Retrying += scaled(one.Retrying, percent)
		d.Blocked += scaled(one.Blocked, percent)
		d.Throttled += scaled(one.Throttled, percent)
		d.Running += scaled(one.Running, percent)
		d.Dead += scaled(one.Dead, percent)
	}
	return rows.Err()
}

// correctReady replaces the estimates of ready tasks of short queues.
func (s *Store) correctReady(ctx context.Context, tx pgx.Tx, byQueue map[string]*QueueDepth, at func(string) *QueueDepth) error {
	rows, err := tx.Query(ctx, s.text(countLanes), exactLane)
	if err != nil {
		return err
	}
	defer rows.Close()
	exact := map[string]int64{}
	for rows.Next() {
		var queue string
		var n int64
		if err := rows.Scan(&queue, &n); err != nil {
			return err
		}
		at(queue)
		exact[queue] = n
	}
	for queue, d := range byQueue {
		d.Ready = corrected(d.Ready, exact[queue])
	}
	return rows.Err()
}

// correctArrivals does the same for those that wait for a turn or a slot.
func (s *Store) correctArrivals(ctx context.Context, tx pgx.Tx, byQueue map[string]*QueueDepth, at func(string) *QueueDepth) error {
	rows, err := tx.Query(ctx, s.text(countArrivals), exactLane)
	if err != nil {
		return err
	}
	defer rows.Close()
	blocked, throttled := map[string]int64{}, map[string]int64{}
	for rows.Next() {
		var queue string
		var state int16
		var n int64
		if err := rows.Scan(&queue, &state, &n); err != nil {
			return err
		}
		at(queue)
		if state == StateBlocked {
			blocked[queue] = n
		} else {
			throttled[queue] = n
		}
	}
	for queue, d := range byQueue {
		d.Blocked, d.Throttled = corrected(d.Blocked, blocked[queue]), corrected(d.Throttled, throttled[queue])
	}
	return rows.Err()
}

// correctRunning replaces the estimates of running tasks by what the workers
// say.
func (s *Store) correctRunning(ctx context.Context, tx pgx.Tx, byQueue map[string]*QueueDepth, at func(string) *QueueDepth) error {
	rows, err := tx.Query(ctx, s.text(heldByWorkers))
	if err != nil {
		return err
	}
	defer rows.Close()
	for _, d := range byQueue {
		d.Running = 0
	}
	for rows.Next() {
		var queue string
		var n int64
		if err := rows.Scan(&queue, &n); err != nil {
			return err
		}
		at(queue).Running = n
	}
	return rows.Err()
}

// corrected is a count in place of an estimate; one below 0 is of some of them.
func corrected(estimate, counted int64) int64 {
	if counted >= 0 {
		return counted
	}
	return max(estimate, -counted)
}

const oldestReady = waitingLanes + `
SELECT lanes.queue, extract(epoch FROM max(now() - first.run_at))::float8
FROM lanes CROSS JOIN LATERAL (
    SELECT t.run_at FROM orchestrator.tasks t
    WHERE ` + readyInLane + `
    ORDER BY t.run_at, t.id LIMIT 1) AS first
GROUP BY lanes.queue`

// OldestReady returns, for each queue in which a task is ready, how long the
// oldest one has been. It looks at one row a lane.
func (s *Store) OldestReady(ctx context.Context) (map[string]time.Duration, error) {
	ages := map[string]time.Duration{}
	err := s.byIndex(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.text(oldestReady))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var queue string
			var seconds float64
			if err := rows.Scan(&queue, &seconds); err != nil {
				return err
			}
			ages[queue] = time.Duration(seconds * float64(time.Second))
		}
		return rows.Err()
	})
	return ages, wrap("look for the oldest tasks", err)
}

// byIndex runs statements of which none should read a table whole, whatever
// the planner believes of its size. What it then believes of their cost would
// have them compiled, which takes longer than they do.
func (s *Store) byIndex(ctx context.Context, run func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL jit = off", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return run(tx)
	})
}
