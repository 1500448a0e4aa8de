package store

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Lane is one (queue, priority), and the place in it from which a worker
// claims: rows are walked by (run_at, id), each once.
type Lane struct {
	Queue    string
	Priority int16
	Cursor   Cursor
	Want     int32 // at most this many
}

// Cursor is the last place a worker has seen in a lane. Its zero value is the
// lane's beginning.
type Cursor struct {
	RunAt time.Time
	ID    int64
}

// ClaimRequest is one claim of one worker.
type ClaimRequest struct {
	Lanes  []Lane // in the order in which they are served
	Limit  int    // of all lanes together
	Worker int64
	Claim  int64 // the worker's own counter, never used twice
	// Known and Foreign say which contracts the worker knows: all ids up to
	// Known, except Foreign.
	Known   int32
	Foreign []int32
}

// Claimed is a task that a worker now holds.
type Claimed struct {
	ID           int64
	Lane         int // index in ClaimRequest.Lanes
	RunAt        time.Time
	ScheduledFor time.Time
	EnqueuedAt   time.Time
	TimeToLive   time.Duration // until it expires, from the claim on; 0 is for ever, negative is expired
	Contract     int32
	Queue        string
	Priority     int16
	Attempts     int16 // spent before this one
	MaxAttempts  int16 // 0: the contract's
	TimeoutMS    int64 // 0: the contract's; -1: none
	Suspect      bool
	TraceParent  string
	TraceState   string
	// PreviousTrace is the traceparent of the attempt before, "" for none.
	PreviousTrace string
	Payload       []byte
	Metadata      []byte
}

// claim walks the index tasks_ready lane by lane. The lanes come in an array
// WITH ORDINALITY and are probed by equality, so that rows which are scheduled
// for later, at whatever priority, are never scanned. The outer LIMIT stops
// the walk.
//
// CASE hides the contracts from the planner, which would expect that next to
// no row passes, and read and sort the whole lane to find it.
//
// It always returns a row, so that the caller learns the database's
// time even when nothing was claimed.
const claim = `
WITH lanes AS (
    SELECT * FROM unnest($1::text[], $2::smallint[], $3::timestamptz[], $4::bigint[], $5::integer[])
    WITH ORDINALITY AS l(queue, priority, run_at, id, want, lane)),
chosen AS MATERIALIZED (
    SELECT probe.id FROM lanes CROSS JOIN LATERAL (
        SELECT t.id FROM orchestrator.tasks t
        WHERE t.state = 0 AND t.queue = lanes.queue AND t.sublane = '' AND t.priority = lanes.priority
          AND t.run_at <= now() AND (t.run_at, t.id) > (lanes.run_at, lanes.id)
          AND CASE WHEN t.contract <= $7 THEN t.contract <> ALL ($8::integer[]) END
        ORDER BY t.run_at, t.id LIMIT lanes.want
        FOR UPDATE SKIP LOCKED) AS probe
    LIMIT $6),
claimed AS (
    UPDATE orchestrator.tasks t
    SET state = 1, worker_id = $9, claim = $10, claimed_at = now(), started_at = NULL
    WHERE t.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING t.id, t.run_at, t.scheduled_for, t.enqueued_at, t.expires_at, t.contract, t.queue, t.priority,
        t.attempts, t.max_attempts, t.timeout_ms, t.suspect, t.trace_parent, t.trace_state, t.payload, t.metadata,
        t.errors -> -1 ->> 'trace' AS previous_trace)
SELECT now(), coalesce(c.id, 0), coalesce(c.run_at, now()), coalesce(c.scheduled_for, now()), coalesce(c.enqueued_at, now()),
    coalesce(ceil(extract(epoch FROM c.expires_at - now()) * 1000000)::bigint, 0),
    coalesce(c.contract, 0), coalesce(c.queue, ''), coalesce(c.priority, 0::smallint), coalesce(c.attempts, 0::smallint),
    coalesce(c.max_attempts, 0::smallint), coalesce(c.timeout_ms, 0), coalesce(c.suspect, false),
    coalesce(c.trace_parent, ''), coalesce(c.trace_state, ''), coalesce(c.previous_trace, ''), c.payload, c.metadata
FROM (VALUES (1)) AS one LEFT JOIN claimed c ON true`

// Claim takes up to req.Limit ready tasks, in lane order and then oldest
// first, and returns the database's time. An error leaves open whether rows
// were claimed: see [Store.Disown].
func (s *Store) Claim(ctx context.Context, req ClaimRequest) (tasks []Claimed, now time.Time, err error) {
	n := len(req.Lanes)
	var (
		queues     = make([]string, n)
		priorities = make([]int16, n)
		runAts     = make([]time.Time, n)
		ids        = make([]int64, n)
		wants      = make([]int32, n)
	)
	for i, lane := range req.Lanes {
		queues[i], priorities[i] = lane.Queue, lane.Priority
		runAts[i], ids[i], wants[i] = lane.Cursor.RunAt, lane.Cursor.ID, lane.Want
	}
	rows, err := s.query(ctx, claim, queues, priorities, runAts, ids, wants, req.Limit, req.Known, req.Foreign, req.Worker, req.Claim)
	if err != nil {
		return nil, now, wrap("claim", err)
	}
	defer rows.Close()
	laneOf := make(map[laneKey]int, n)
	for i, lane := range req.Lanes {
		laneOf[laneKey{lane.Queue, lane.Priority}] = i
	}
	tasks = make([]Claimed, 0, min(req.Limit, 1024))
	for rows.Next() {
		var t Claimed
		var ttlMicro int64
		if err := rows.Scan(&now, &t.ID, &t.RunAt, &t.ScheduledFor, &t.EnqueuedAt, &ttlMicro, &t.Contract, &t.Queue, &t.Priority,
			&t.Attempts, &t.MaxAttempts, &t.TimeoutMS, &t.Suspect, &t.TraceParent, &t.TraceState, &t.PreviousTrace, &t.Payload, &t.Metadata); err != nil {
			return nil, now, wrap("claim", err)
		}
		if t.ID == 0 {
			continue
		}
		t.TimeToLive = time.Duration(ttlMicro) * time.Microsecond
		t.Lane = laneOf[laneKey{t.Queue, t.Priority}]
		tasks = append(tasks, t)
	}
	if err := rows.Err(); err != nil {
		return nil, now, wrap("claim", err)
	}
	// RETURNING has no order.
	slices.SortFunc(tasks, func(a, b Claimed) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), a.RunAt.Compare(b.RunAt), cmp.Compare(a.ID, b.ID))
	})
	return tasks, now, nil
}

type laneKey struct {
	queue    string
	priority int16
}

// disown uses the index tasks_running.
const disown = `
UPDATE orchestrator.tasks t SET state = 0, worker_id = NULL, claim = NULL, started_at = NULL, run_at = now()
WHERE t.id = ANY (ARRAY(
    SELECT r.id FROM orchestrator.tasks r
    WHERE r.state = 1 AND r.worker_id = $1 AND r.claim = $2 ORDER BY r.id FOR UPDATE SKIP LOCKED))`

// Disown gives back whatever a claim with an unknown outcome may have taken.
// Without it the worker's own heartbeat would keep those rows for ever.
func (s *Store) Disown(ctx context.Context, worker, claim int64) (int64, error) {
	n, err := s.exec(ctx, disown, worker, claim)
	return n, wrap("give back an uncertain claim", err)
}

const markStarted = `
UPDATE orchestrator.tasks t SET started_at = now()
WHERE t.id = $1 AND (t.worker_id, t.claim, t.state) IS NOT DISTINCT FROM ($2::bigint, $3::bigint, 1::smallint)`

// MarkStarted durably notes that a suspect is about to run, so that if it
// kills the process the crash is charged to it and not to its neighbours. It
// returns false when the lease is lost.
func (s *Store) MarkStarted(ctx context.Context, id, worker, claim int64) (bool, error) {
	n, err := s.exec(ctx, markStarted, id, worker, claim)
	return n == 1, wrap("mark a suspect started", err)
}

// queueLanes looks at the first row of each lane since $2: when it is due says
// what the lane holds.
const queueLanes = `
SELECT now(), coalesce(head.queue, ''), coalesce(head.priority, 0::smallint), coalesce(head.run_at, now()), coalesce(head.id, 0)
FROM (VALUES (1)) AS one LEFT JOIN (
    SELECT l.queue, p.priority::smallint, first.run_at, first.id
    FROM unnest($1::text[]) AS l(queue)
    CROSS JOIN generate_series(-100, 100) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT t.run_at, t.id FROM orchestrator.tasks t
        WHERE t.state = 0 AND t.queue = l.queue AND t.sublane = '' AND t.priority = p.priority::smallint AND t.run_at >= $2
          AND CASE WHEN t.contract <= $3 THEN t.contract <> ALL ($4::integer[]) END
        ORDER BY t.run_at, t.id LIMIT 1) AS first) AS head ON true`

// LaneHead is the first waiting task of a lane.
type LaneHead struct {
	Queue    string
	Priority int16
	First    Cursor
	DueIn    time.Duration // not positive: it is ready
}

// Lanes returns the first task of every lane of queues that a worker could
// claim, now or later, and whose run_at is since or later; and the database's
// time. The 201 probes of an empty queue cost about a third of a millisecond.
// Of req it takes Known and Foreign.
func (s *Store) Lanes(ctx context.Context, queues []string, since time.Time, req ClaimRequest) (heads []LaneHead, now time.Time, err error) {
	rows, err := s.query(ctx, queueLanes, queues, since, req.Known, req.Foreign)
	if err != nil {
		return nil, now, wrap("look for lanes", err)
	}
	defer rows.Close()
	for rows.Next() {
		var head LaneHead
		if err := rows.Scan(&now, &head.Queue, &head.Priority, &head.First.RunAt, &head.First.ID); err != nil {
			return nil, now, wrap("look for lanes", err)
		}
		if head.First.ID == 0 {
			continue
		}
		head.DueIn = head.First.RunAt.Sub(now)
		heads = append(heads, head)
	}
	return heads, now, wrap("look for lanes", rows.Err())
}
