package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const pauseQueue = `
INSERT INTO orchestrator.queues AS q (name, paused_at) VALUES ($1, now())
ON CONFLICT (name) DO UPDATE SET paused_at = now(), updated_at = now() WHERE q.paused_at IS NULL`

// PauseQueue notes that no worker shall claim from a queue.
func (s *Store) PauseQueue(ctx context.Context, queue string) error {
	_, err := s.exec(ctx, pauseQueue, queue)
	return wrap("pause queue "+queue, err)
}

const resumeQueue = `UPDATE orchestrator.queues q SET paused_at = NULL, updated_at = now() WHERE q.name = $1 AND q.paused_at IS NOT NULL`

// ResumeQueue takes PauseQueue back.
func (s *Store) ResumeQueue(ctx context.Context, queue string) error {
	_, err := s.exec(ctx, resumeQueue, queue)
	return wrap("resume queue "+queue, err)
}

const pauseType = `
INSERT INTO orchestrator.task_settings AS s (task_type, paused_at) VALUES ($1, now())
ON CONFLICT (task_type) DO UPDATE SET paused_at = now(), updated_at = now() WHERE s.paused_at IS NULL`

// PauseType notes that no worker shall claim tasks of a type.
func (s *Store) PauseType(ctx context.Context, taskType string) error {
	_, err := s.exec(ctx, pauseType, taskType)
	return wrap("pause task type "+taskType, err)
}

const resumeType = `UPDATE orchestrator.task_settings s SET paused_at = NULL, updated_at = now() WHERE s.task_type = $1 AND s.paused_at IS NOT NULL`

// ResumeType takes PauseType back.
func (s *Store) ResumeType(ctx context.Context, taskType string) error {
	_, err := s.exec(ctx, resumeType, taskType)
	return wrap("resume task type "+taskType, err)
}

const setConcurrency = `
INSERT INTO orchestrator.queues AS q (name, per_worker, total) VALUES ($1, nullif($2, 0), nullif($3, 0))
ON CONFLICT (name) DO UPDATE
SET per_worker = coalesce(EXCLUDED.per_worker, q.per_worker), total = coalesce(EXCLUDED.total, q.total), updated_at = now()`

// SetConcurrency changes the limits of a queue; 0 leaves one as it is.
func (s *Store) SetConcurrency(ctx context.Context, queue string, perWorker, total int32) error {
	_, err := s.exec(ctx, setConcurrency, queue, perWorker, total)
	return wrap("set the concurrency of queue "+queue, err)
}

const resetConcurrency = `UPDATE orchestrator.queues q SET per_worker = NULL, total = NULL, updated_at = now() WHERE q.name = $1`

// ResetConcurrency returns the limits of a queue to what is declared.
func (s *Store) ResetConcurrency(ctx context.Context, queue string) error {
	_, err := s.exec(ctx, resetConcurrency, queue)
	return wrap("reset the concurrency of queue "+queue, err)
}

const setPolicy = `
INSERT INTO orchestrator.task_settings AS s (task_type, policy, policy_expires_at)
VALUES ($1, $2::text::jsonb, now() + $3 * interval '1 microsecond')
ON CONFLICT (task_type) DO UPDATE
SET policy = EXCLUDED.policy, policy_expires_at = EXCLUDED.policy_expires_at, updated_at = now()
RETURNING policy_expires_at`

// SetPolicy replaces what overrides the policy of a task type, for a while,
// and returns until when.
func (s *Store) SetPolicy(ctx context.Context, taskType, policy string, lasts time.Duration) (expires time.Time, err error) {
	err = s.queryRow(ctx, setPolicy, taskType, policy, lasts.Microseconds()).Scan(&expires)
	return expires, wrap("set the policy of "+taskType, err)
}

const clearPolicy = `
UPDATE orchestrator.task_settings s SET policy = NULL, policy_expires_at = NULL, updated_at = now()
WHERE s.task_type = $1 AND s.policy IS NOT NULL`

// ClearPolicy takes SetPolicy back.
func (s *Store) ClearPolicy(ctx context.Context, taskType string) error {
	_, err := s.exec(ctx, clearPolicy, taskType)
	return wrap("clear the policy of "+taskType, err)
}

// QueueRecord is all that is known of a queue but for its tasks.
type QueueRecord struct {
	Name      string
	PausedAt  time.Time // zero: it is not paused
	PerWorker int       // as changed at run time; 0: as declared
	Total     int
	Declared  string // policy of the newest contract that is declared in it, "" for none
	Granted   int    // to all workers together
	Workers   int    // alive, that work it
}

// knownQueues are those that are declared, worked, changed, or hold tasks. The
// queues of tasks are stepped through in the index tasks_ready, so that one
// of them, or of several that share a hash, is found in a probe each; tasks that
// wait for a turn or a slot are of types whose queue is declared.
const knownQueues = `
WITH RECURSIVE held AS (
    (SELECT t.queue, orchestrator.lane_hash(t.queue, t.sublane) AS hash FROM orchestrator.tasks t WHERE t.waits_for = 0
    ORDER BY orchestrator.lane_hash(t.queue, t.sublane) LIMIT 1)
    UNION ALL
    SELECT next.queue, next.hash FROM held CROSS JOIN LATERAL (
        SELECT t.queue, orchestrator.lane_hash(t.queue, t.sublane) AS hash FROM orchestrator.tasks t
        WHERE t.waits_for = 0 AND orchestrator.lane_hash(t.queue, t.sublane) > held.hash | 4294967295
        ORDER BY orchestrator.lane_hash(t.queue, t.sublane) LIMIT 1) AS next),
names AS (
    SELECT queue AS name FROM held
    UNION SELECT c.queue FROM orchestrator.task_contracts c
    UNION SELECT unnest(w.queues) FROM orchestrator.workers w
    UNION SELECT q.name FROM orchestrator.queues q
        WHERE q.paused_at IS NOT NULL OR q.per_worker IS NOT NULL OR q.total IS NOT NULL)
SELECT n.name, coalesce(q.paused_at, '0001-01-01 00:00:00+00'), coalesce(q.per_worker, 0), coalesce(q.total, 0),
    coalesce((SELECT c.policy::text FROM orchestrator.task_contracts c WHERE c.queue = n.name ORDER BY c.id DESC LIMIT 1), ''),
    coalesce((SELECT sum(g.granted) FROM orchestrator.queue_grants g WHERE g.queue = n.name), 0)::integer,
    (SELECT count(*) FROM orchestrator.workers w WHERE n.name = ANY (w.queues) AND w.heartbeat_at >= now() - w.lease)::integer
FROM names n LEFT JOIN orchestrator.queues q ON q.name = n.name`

// Queues returns all queues that are known, in no order.
func (s *Store) Queues(ctx context.Context) ([]QueueRecord, error) {
	rows, err := s.query(ctx, knownQueues)
	if err != nil {
		return nil, wrap("read queues", err)
	}
	queues, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QueueRecord])
	return queues, wrap("read queues", err)
}

// TypeRecord is a task type as its newest contract has it, and what is changed
// of it at run time.
type TypeRecord struct {
	Name            string
	Queue           string
	PausedAt        time.Time // zero: it is not paused
	Policy          string    // what overrides the declared one, "" for none
	PolicyExpiresAt time.Time
}

const knownTypes = `
SELECT coalesce(c.task_type, s.task_type), coalesce(c.queue, ''), coalesce(s.paused_at, '0001-01-01 00:00:00+00'),
    coalesce(CASE WHEN s.policy_expires_at > now() THEN s.policy::text END, ''),
    CASE WHEN s.policy_expires_at > now() THEN s.policy_expires_at ELSE '0001-01-01 00:00:00+00' END
FROM (SELECT DISTINCT ON (task_type) task_type, queue FROM orchestrator.task_contracts ORDER BY task_type, id DESC) AS c
FULL JOIN (
    SELECT * FROM orchestrator.task_settings WHERE paused_at IS NOT NULL OR policy_expires_at > now()) AS s ON s.task_type = c.task_type`

// Types returns all task types that have a contract or are changed, in no
// order.
func (s *Store) Types(ctx context.Context) ([]TypeRecord, error) {
	rows, err := s.query(ctx, knownTypes)
	if err != nil {
		return nil, wrap("read task types", err)
	}
	types, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TypeRecord])
	return types, wrap("read task types", err)
}
