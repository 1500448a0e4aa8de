package store

import (
	"context"
	"encoding/json"
	"time"
)

// Control is what a worker has to know of what people want at run time.
type Control struct {
	Now      time.Time
	Led      bool            // somebody leads
	Queues   []QueueSettings // of queues of which something is changed
	Types    []TypeSettings  // of types of which something is changed
	Requests []CancelRequest // for tasks that the worker holds
	Settled  bool            // there are requests for tasks that nobody runs
	Shares   []Share         // of the queues that were asked for
}

// QueueSettings is what is changed of a queue at run time; 0: as it is
// declared.
type QueueSettings struct {
	Name      string
	Paused    bool
	PerWorker int
	Total     int
}

// TypeSettings is what is changed of a task type at run time.
type TypeSettings struct {
	Name            string
	Paused          bool
	Policy          json.RawMessage // null: none that has not expired
	PolicyExpiresAt time.Time
}

// CancelRequest asks for the end of a running task.
type CancelRequest struct {
	ID     int64
	Reason string
}

// Share is what one worker may run of a queue with a total.
type Share struct {
	Queue   string
	Worker  int64
	Slots   int  // of the worker, for all its queues
	Taking  bool // it is alive and not draining
	Granted int
	Wanted  int // how many it could run, as it last said
}

// readControl is asked by every worker twice a second, so it costs next to
// nothing while nothing is changed: its tables are empty or hold a few rows.
// Tasks are looked up by their primary key, whatever the planner believes:
// LIMIT keeps it from making a join of it.
const readControl = `
WITH requests AS MATERIALIZED (
    SELECT r.task_id, r.reason, t.state, t.worker_id
    FROM orchestrator.cancel_requests r LEFT JOIN LATERAL (
        SELECT t.state, t.worker_id FROM orchestrator.tasks t WHERE t.id = r.task_id LIMIT 1) AS t ON true)
SELECT now(), EXISTS (SELECT FROM orchestrator.leader l WHERE l.expires_at > now()),
    coalesce((SELECT json_agg(json_build_object(
            'Name', q.name, 'Paused', q.paused_at IS NOT NULL, 'PerWorker', coalesce(q.per_worker, 0), 'Total', coalesce(q.total, 0)))
        FROM orchestrator.queues q WHERE q.paused_at IS NOT NULL OR q.per_worker IS NOT NULL OR q.total IS NOT NULL)::text, '[]'),
    coalesce((SELECT json_agg(json_build_object(
            'Name', s.task_type, 'Paused', s.paused_at IS NOT NULL,
            'Policy', CASE WHEN s.policy_expires_at > now() THEN s.policy END,
            'PolicyExpiresAt', coalesce(s.policy_expires_at, now())))
        FROM orchestrator.task_settings s WHERE s.paused_at IS NOT NULL OR s.policy_expires_at > now())::text, '[]'),
    coalesce((SELECT json_agg(json_build_object('ID', r.task_id, 'Reason', r.reason))
        FROM requests r WHERE r.state = 1 AND r.worker_id = $1)::text, '[]'),
    EXISTS (SELECT FROM requests r WHERE r.state IS DISTINCT FROM 1),
    coalesce((SELECT json_agg(json_build_object(
            'Queue', q.name, 'Worker', w.id, 'Slots', w.slots, 'Taking', w.heartbeat_at >= now() - w.lease AND NOT w.draining,
            'Granted', coalesce(g.granted, 0), 'Wanted', coalesce(g.wanted, 0)) ORDER BY q.name, w.id)
        FROM unnest($2::text[]) AS q(name) JOIN orchestrator.workers w ON q.name = ANY (w.queues)
        LEFT JOIN orchestrator.queue_grants g ON g.queue = q.name AND g.worker_id = w.id)::text, '[]')`

// Control reads what people want of a worker, and the shares of queues that
// have a total.
func (s *Store) Control(ctx context.Context, worker int64, queues []string) (c Control, err error) {
	var queueText, typeText, requestText, shareText string
	err = s.queryRow(ctx, readControl, worker, queues).
		Scan(&c.Now, &c.Led, &queueText, &typeText, &requestText, &c.Settled, &shareText)
	for _, part := range []struct {
		text string
		into any
	}{{queueText, &c.Queues}, {typeText, &c.Types}, {requestText, &c.Requests}, {shareText, &c.Shares}} {
		if err == nil && part.text != "[]" {
			err = json.Unmarshal([]byte(part.text), part.into)
		}
	}
	return c, wrap("read what is changed at run time", err)
}
