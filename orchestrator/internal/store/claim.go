package store

import (
	"cmp"
	"context"
	"slices"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"
)

// LaneKey names a lane: tasks of one lane are claimed oldest first.
type LaneKey struct {
	Queue    string
	Sublane  string // the task type, if that has a rate limit and so lanes of its own; else ""
	Priority int16
}

// Lane is a lane and the place in it from which a worker claims: rows are
// walked by (run_at, id), each once.
type Lane struct {
	LaneKey
	Cursor Cursor
	Want   int32 // at most this many
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

// Claimed is a task that a worker now holds. A worker holds thousands: what most
// tasks have in common with others, or do not have, is not kept for each.
type Claimed struct {
	ID           int64
	RunAt        Instant
	ScheduledFor Instant
	EnqueuedAt   Instant
	*LaneKey
	*Extras
	TraceParent string
	Payload     []byte
	Contract    int32
	Lane        int32 // index in ClaimRequest.Lanes
	Attempts    int16 // spent before this one
	MaxAttempts int16 // 0: the contract's
	Suspect     bool
	Grouped     bool // has its group's turn
	Limited     bool // has a slot of its limit
}

// Extras is what few tasks have.
type Extras struct {
	TimeToLive time.Duration // until it expires, from the claim on; 0 is for ever, negative is expired
	// TimeToDeadline is until no attempt may run any more; as TimeToLive.
	TimeToDeadline time.Duration
	TimeoutMS      int64 // 0: the contract's; -1: none
	TraceState     string
	// PreviousTrace is the traceparent of the attempt before, "" for none.
	PreviousTrace string
	Metadata      []byte
}

func (e *Extras) none() bool {
	return e.TimeToLive == 0 && e.TimeToDeadline == 0 && e.TimeoutMS == 0 &&
		e.TraceState == "" && e.PreviousTrace == "" && len(e.Metadata) == 0
}

// noExtras is what all tasks share that have none.
var noExtras = &Extras{}

// Instant is a time of the database's, in µs since 1970. It is a third of a
// [time.Time], which has a pointer that the garbage collector follows.
type Instant int64

// Time is the same in this process's time zone.
func (i Instant) Time() time.Time { return time.UnixMicro(int64(i)) }

// Sub is the time from another instant to this one.
func (i Instant) Sub(from Instant) time.Duration { return time.Duration(i-from) * time.Microsecond }

func instant(t time.Time) Instant { return Instant(t.UnixMicro()) }

// claim walks the index tasks_ready lane by lane. The lanes come in an array
// WITH ORDINALITY and are probed by equality, so that rows which are scheduled
// for later, at whatever priority, are never scanned. The outer LIMIT stops
// the walk. The index has a lane's queue and sublane as a hash, which two lanes
// could share.
//
// CASE hides the state, the lane and the contracts from the planner, which would
// expect that next to no row passes, and read and sort the whole lane to find it.
//
// Rows that others are claiming are told by their xmax, the transaction that
// locked them last. SKIP LOCKED alone leaves them out too, but asks the lock
// manager for each, and where a claim has just ended locks the row's newest
// version before it finds that it is not wanted: of several workers each would
// do that for the tasks of all the others. Passed over are rows whose xmax was
// under way when the statement began (others.running) or began later (up to a
// million from the snapshot's end on, others.age); any other is of somebody who
// has let go, as a claim that was rolled back has, or no transaction but a
// number of several. What xmax does not tell of, such as the lock of a savepoint,
// is left to SKIP LOCKED, and a row that has changed by then is looked at again,
// with the claim's own lock.
//
// What the UPDATE changes stands in no index, and pages have room for a second
// version of their rows (fillfactor): PostgreSQL updates the heap alone. The
// entries of running tasks stay in tasks_ready; cursors are past them.
//
// It always returns a row, so that the caller learns the database's
// time even when nothing was claimed.
const claim = `
WITH lanes AS (
    SELECT *, orchestrator.lane_hash(queue, sublane) AS hash
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::bigint[], $6::integer[])
    WITH ORDINALITY AS l(queue, sublane, priority, run_at, id, want, lane)),
others AS MATERIALIZED (
    SELECT ARRAY(SELECT x::xid FROM pg_snapshot_xip(now.snapshot) AS x) AS running, age(pg_snapshot_xmax(now.snapshot)::xid) AS age
    FROM pg_current_snapshot() AS now(snapshot)),
chosen AS MATERIALIZED (
    SELECT probe.id FROM lanes CROSS JOIN LATERAL (
        SELECT t.id FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND orchestrator.lane_hash(t.queue, t.sublane) = lanes.hash AND t.priority = lanes.priority
          AND t.run_at <= now() AND (t.run_at, t.id) > (lanes.run_at, lanes.id)
          AND CASE WHEN t.state = 0 AND t.queue = lanes.queue AND t.sublane = lanes.sublane AND t.contract <= $8
              AND (t.xmax = '0' OR t.xmax <> ALL ((SELECT running FROM others)::xid[])
                  AND age(t.xmax) NOT BETWEEN (SELECT age FROM others) - 1000000 AND (SELECT age FROM others)
                  OR t.xmax = pg_current_xact_id_if_assigned()::xid)
              THEN t.contract <> ALL ($9::integer[]) END
        ORDER BY t.run_at, t.id LIMIT lanes.want
        FOR UPDATE SKIP LOCKED) AS probe
    LIMIT $7),
claimed AS (
    UPDATE orchestrator.tasks t
    SET state = 1, worker_id = $10, claim = $11, claimed_at = now(), started_at = NULL
    WHERE t.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING ` + claimedColumns + `)
SELECT ` + claimedValues + `
FROM (VALUES (1)) AS one LEFT JOIN claimed c ON true`

// What a statement that claims tasks t returns of them, and what [Claimed] is
// made of, of rows c which may be missing.
const (
	claimedColumns = `t.id, t.run_at, ` + otherClaimedColumns
	// takenColumns is of tasks that were handed over: they have been ready since
	// then.
	takenColumns        = `t.id, now() AS run_at, ` + otherClaimedColumns
	otherClaimedColumns = `t.scheduled_for, t.enqueued_at, t.expires_at, t.deadline_at, t.contract, t.queue, t.sublane, t.priority,
    t.attempts, t.max_attempts, t.timeout_ms, t.suspect, t.group_key IS NOT NULL AS grouped, t.limit_slot IS NOT NULL AS limited,
    t.trace_parent, t.trace_state, t.errors -> -1 ->> 'trace' AS previous_trace, t.payload, t.metadata`
	claimedValues = `now(), coalesce(c.id, 0), coalesce(c.run_at, now()), coalesce(c.scheduled_for, now()), coalesce(c.enqueued_at, now()),
    coalesce(ceil(extract(epoch FROM c.expires_at - now()) * 1000000)::bigint, 0),
    coalesce(ceil(extract(epoch FROM c.deadline_at - now()) * 1000000)::bigint, 0),
    coalesce(c.contract, 0), coalesce(c.queue, ''), coalesce(c.sublane, ''), coalesce(c.priority, 0::smallint), coalesce(c.attempts, 0::smallint),
    coalesce(c.max_attempts, 0::smallint), coalesce(c.timeout_ms, 0), coalesce(c.suspect, false),
    coalesce(c.grouped, false), coalesce(c.limited, false),
    coalesce(c.trace_parent, ''), coalesce(c.trace_state, ''), coalesce(c.previous_trace, ''), c.payload, c.metadata`
)

// claimedRow reads rows of claimedValues, and what comes after them, into one
// place. What most rows of a statement have in common is not copied for each.
type claimedRow struct {
	Claimed // but for the lane
	lane    LaneKey
	now     time.Time

	runAt, scheduledFor, enqueuedAt         time.Time
	ttlMicro, deadlineMicro                 int64
	queue, sublane, traceParent, traceState repeatedText
	extras                                  Extras
	columns                                 []any
}

func newClaimedRow(more ...any) *claimedRow {
	r := &claimedRow{}
	t, e := &r.Claimed, &r.extras
	r.columns = append([]any{&r.now, &t.ID, &r.runAt, &r.scheduledFor, &r.enqueuedAt, &r.ttlMicro, &r.deadlineMicro, &t.Contract,
		&r.queue, &r.sublane, &r.lane.Priority, &t.Attempts, &t.MaxAttempts, &e.TimeoutMS, &t.Suspect, &t.Grouped, &t.Limited,
		&r.traceParent, &r.traceState, &e.PreviousTrace, &t.Payload, &e.Metadata}, more...)
	return r
}

func (r *claimedRow) scan(rows Rows) error {
	err := rows.Scan(r.columns...)
	t, e := &r.Claimed, &r.extras
	t.RunAt, t.ScheduledFor, t.EnqueuedAt = instant(r.runAt), instant(r.scheduledFor), instant(r.enqueuedAt)
	r.lane.Queue, r.lane.Sublane = string(r.queue), string(r.sublane)
	t.TraceParent, e.TraceState = string(r.traceParent), string(r.traceState)
	e.TimeToLive = time.Duration(r.ttlMicro) * time.Microsecond
	e.TimeToDeadline = time.Duration(r.deadlineMicro) * time.Microsecond
	if t.Extras = noExtras; !e.none() {
		own := *e
		t.Extras = &own
	}
	return err
}

// repeatedText is a column of text that is often the same as in the row before.
type repeatedText string

// ScanBytes implements pgtype.BytesScanner.
func (t *repeatedText) ScanBytes(v []byte) error {
	if string(v) != string(*t) {
		*t = repeatedText(v)
	}
	return nil
}

// claimedSlab is how many tasks share an allocation: few enough that one which
// runs for hours does not keep the memory of a whole claim, and as many as fill a
// size class of Go's allocator.
const claimedSlab = 8 << 10 / int(unsafe.Sizeof(Claimed{}))

// claimedList collects tasks.
type claimedList struct {
	tasks []*Claimed
	slab  []Claimed // allocated, and not all used
}

func (l *claimedList) add(t Claimed) {
	if len(l.slab) == 0 {
		l.slab = make([]Claimed, claimedSlab)
	}
	l.slab[0] = t
	l.tasks = append(l.tasks, &l.slab[0])
	l.slab = l.slab[1:]
}

// Claim takes up to req.Limit ready tasks, in lane order and then oldest
// first, and returns the database's time. An error leaves open whether rows
// were claimed: see [Store.Disown].
func (s *Store) Claim(ctx context.Context, req ClaimRequest) (tasks []*Claimed, now time.Time, err error) {
	n := len(req.Lanes)
	var (
		queues     = make([]string, n)
		sublanes   = make([]string, n)
		priorities = make([]int16, n)
		runAts     = make([]time.Time, n)
		ids        = make([]int64, n)
		wants      = make([]int32, n)
	)
	for i, lane := range req.Lanes {
		queues[i], sublanes[i], priorities[i] = lane.Queue, lane.Sublane, lane.Priority
		runAts[i], ids[i], wants[i] = lane.Cursor.RunAt, lane.Cursor.ID, lane.Want
	}
	rows, err := s.query(ctx, claim, queues, sublanes, priorities, runAts, ids, wants, req.Limit, req.Known, req.Foreign, req.Worker, req.Claim)
	if err != nil {
		return nil, now, wrap("claim", err)
	}
	defer rows.Close()
	keys, laneOf := make([]LaneKey, n), make(map[LaneKey]int, n)
	for i, lane := range req.Lanes {
		keys[i], laneOf[lane.LaneKey] = lane.LaneKey, i
	}
	row, lane := newClaimedRow(), 0
	claimed := claimedList{tasks: make([]*Claimed, 0, min(req.Limit, 1024))}
	for rows.Next() {
		if err := row.scan(rows); err != nil {
			return nil, now, wrap("claim", err)
		}
		if row.ID == 0 {
			continue
		}
		if row.lane != keys[lane] { // mostly it is that of the row before
			lane = laneOf[row.lane]
		}
		row.Lane, row.LaneKey = int32(lane), &keys[lane]
		claimed.add(row.Claimed)
	}
	if err := rows.Err(); err != nil {
		return nil, row.now, wrap("claim", err)
	}
	// RETURNING has no order.
	slices.SortFunc(claimed.tasks, func(a, b *Claimed) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.RunAt, b.RunAt), cmp.Compare(a.ID, b.ID))
	})
	return claimed.tasks, row.now, nil
}

// disown reads the whole table, as only a broken connection makes it do: what
// runs has no index, because every claim would have to write to it.
const disown = `
UPDATE orchestrator.tasks t SET state = 0, waits_for = 0, worker_id = NULL, claim = NULL, started_at = NULL, run_at = now()
WHERE t.id = ANY (ARRAY(
    SELECT r.id FROM orchestrator.tasks r
    WHERE r.state = 1 AND r.worker_id = $1 AND r.claim = $2 ORDER BY r.id FOR UPDATE SKIP LOCKED))`

// Disown gives back whatever a claim with an unknown outcome may have taken.
// Without it the worker's own heartbeat would keep those rows for ever. It takes
// as long as reading the table does.
func (s *Store) Disown(ctx context.Context, worker, claim int64) (n int64, err error) {
	err = s.inLongTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, s.text(disown), worker, claim)
		n = tag.RowsAffected()
		return err
	})
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

// queueLanes looks at the first row of each lane since $6: when it is due says
// what the lane holds. It looks at all priorities of $1 and $2, and at those
// that are named of $3 to $5.
const queueLanes = `
SELECT now(), coalesce(head.queue, ''), coalesce(head.sublane, ''), coalesce(head.priority, 0::smallint), coalesce(head.run_at, now()),
    coalesce(head.id, 0)
FROM (VALUES (1)) AS one LEFT JOIN (
    SELECT l.queue, l.sublane, l.priority, first.run_at, first.id
    FROM (
        SELECT every.queue, every.sublane, p.priority::smallint AS priority
        FROM unnest($1::text[], $2::text[]) AS every(queue, sublane) CROSS JOIN generate_series(-100, 100) AS p(priority)
        UNION ALL
        SELECT named.queue, named.sublane, named.priority
        FROM unnest($3::text[], $4::text[], $5::smallint[]) AS named(queue, sublane, priority)) AS l
    CROSS JOIN LATERAL (
        SELECT t.run_at, t.id FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND orchestrator.lane_hash(t.queue, t.sublane) = orchestrator.lane_hash(l.queue, l.sublane)
          AND t.priority = l.priority AND t.run_at >= $6
          AND CASE WHEN t.state = 0 AND t.queue = l.queue AND t.sublane = l.sublane AND t.contract <= $7 THEN t.contract <> ALL ($8::integer[]) END
        ORDER BY t.run_at, t.id LIMIT 1) AS first) AS head ON true`

// LaneHead is the first waiting task of a lane.
type LaneHead struct {
	LaneKey
	First Cursor
	DueIn time.Duration // not positive: it is ready
}

// LaneQuestion says which lanes [Store.Lanes] looks at.
type LaneQuestion struct {
	Every []LaneKey // queues and sublanes of which every priority is looked at
	Named []LaneKey // lanes
	Since time.Time
	// Known and Foreign are as in ClaimRequest.
	Known   int32
	Foreign []int32
}

// Lanes returns the first task of every lane in question that a worker could
// claim, now or later, and whose run_at is since or later; and the database's
// time.
func (s *Store) Lanes(ctx context.Context, q LaneQuestion) (heads []LaneHead, now time.Time, err error) {
	queues, sublanes, _ := laneColumns(q.Every)
	namedQueues, namedSublanes, namedPriorities := laneColumns(q.Named)
	rows, err := s.query(ctx, queueLanes, queues, sublanes, namedQueues, namedSublanes, namedPriorities, q.Since, q.Known, q.Foreign)
	if err != nil {
		return nil, now, wrap("look for lanes", err)
	}
	defer rows.Close()
	for rows.Next() {
		var head LaneHead
		if err := rows.Scan(&now, &head.Queue, &head.Sublane, &head.Priority, &head.First.RunAt, &head.First.ID); err != nil {
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

func laneColumns(lanes []LaneKey) (queues, sublanes []string, priorities []int16) {
	queues, sublanes, priorities = make([]string, len(lanes)), make([]string, len(lanes)), make([]int16, len(lanes))
	for i, l := range lanes {
		queues[i], sublanes[i], priorities[i] = l.Queue, l.Sublane, l.Priority
	}
	return queues, sublanes, priorities
}

// findSublanes steps from sublane to sublane of each queue through the index
// tasks_ready, in which the hashes of a queue's lanes have their upper half in
// common, and the main lane is the first. Of lanes that share a hash it finds one
// at a time: the other when that is empty.
const findSublanes = `
WITH RECURSIVE found AS (
    SELECT first.queue, first.sublane, first.hash
    FROM (SELECT orchestrator.lane_hash(queue, '') AS main FROM unnest($1::text[]) AS queue) AS q CROSS JOIN LATERAL (
        SELECT t.queue, t.sublane, orchestrator.lane_hash(t.queue, t.sublane) AS hash FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND orchestrator.lane_hash(t.queue, t.sublane) > q.main
          AND orchestrator.lane_hash(t.queue, t.sublane) <= q.main | 4294967295
        ORDER BY orchestrator.lane_hash(t.queue, t.sublane) LIMIT 1) AS first
    UNION
    SELECT next.queue, next.sublane, next.hash FROM found CROSS JOIN LATERAL (
        SELECT t.queue, t.sublane, orchestrator.lane_hash(t.queue, t.sublane) AS hash FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND orchestrator.lane_hash(t.queue, t.sublane) > found.hash
          AND orchestrator.lane_hash(t.queue, t.sublane) <= found.hash | 4294967295
        ORDER BY orchestrator.lane_hash(t.queue, t.sublane) LIMIT 1) AS next)
SELECT queue, sublane FROM found WHERE queue = ANY ($1::text[])`

// Sublanes returns the sublanes of queues in which tasks wait or run, without
// their priorities.
func (s *Store) Sublanes(ctx context.Context, queues []string) (found []LaneKey, err error) {
	rows, err := s.query(ctx, findSublanes, queues)
	if err != nil {
		return nil, wrap("look for sublanes", err)
	}
	defer rows.Close()
	for rows.Next() {
		var one LaneKey
		if err := rows.Scan(&one.Queue, &one.Sublane); err != nil {
			return nil, wrap("look for sublanes", err)
		}
		found = append(found, one)
	}
	return found, wrap("look for sublanes", rows.Err())
}
