package store

// Ending a task enqueues the tasks that follow from its end in the same
// statement: they are there exactly if the end is. As of now that is the
// delivery to a webhook.

// WebhookQueue is the queue of deliveries to webhooks.
const WebhookQueue = "orchestrator_webhooks"

// tell stands behind the part named gone of a statement that ends tasks, and
// makes a delivery for those whose type has a webhook that is to be told of
// their state. Between tell and tellTo stand two more columns, state and
// attempts, and where the rows come from:
//
//	gone AS (...)` + tell + `6::smallint AS state, g.attempts FROM gone g` + tellTo + `
//
// A delivery knows what ended and how; the rest, a result above all, it reads
// from history. Whom to tell is what the newest contract of the type says, not
// the task's own: a webhook that was added to the spec is for tasks that wait
// already. It uses the primary key and the unique one of task_contracts.
const (
	tell = `,
told AS (
    INSERT INTO orchestrator.tasks (contract, priority, queue, trace_parent, payload)
    SELECT c.webhook_contract, 0, '` + WebhookQueue + `', e.trace_parent, json_build_object('url', c.webhook, 'id', e.id,
        'type', c.task_type, 'queue', e.queue, 'state', e.state, 'attempts', e.attempts, 'enqueued_at', e.enqueued_at, 'finished_at', now())
    FROM (SELECT g.id, g.contract, g.queue, g.enqueued_at, g.trace_parent, `
	tellTo = `) AS e
    CROSS JOIN LATERAL (
        SELECT c.task_type, c.webhook, c.webhook_states, c.webhook_contract
        FROM orchestrator.task_contracts own JOIN orchestrator.task_contracts c ON c.task_type = own.task_type
        WHERE own.id = e.contract ORDER BY c.id DESC LIMIT 1) AS c
    WHERE c.webhook IS NOT NULL AND e.state = ANY (c.webhook_states)
    ORDER BY e.id)`
)
