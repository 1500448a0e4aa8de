-- Back to a queue without flow control: what waits for a turn or a slot
-- becomes ready, whatever its group and limit said.
DROP VIEW {{.Schema}}.all_tasks;
DROP TABLE {{.Schema}}.schedules;
ALTER TABLE {{.Schema}}.workers DROP COLUMN schedules;
DROP TABLE {{.Schema}}.schedule_declarations;
DROP TABLE {{.Schema}}.task_progress;
DROP TABLE {{.Schema}}.cancel_requests;
DROP TABLE {{.Schema}}.queue_grants;
DROP TABLE {{.Schema}}.task_settings;
DROP TABLE {{.Schema}}.queues;
DROP TABLE {{.Schema}}.rate_buckets;
DROP TABLE {{.Schema}}.slots;
DROP TABLE {{.Schema}}.groups;

DROP INDEX {{.Schema}}.tasks_overdue;
DROP INDEX {{.Schema}}.tasks_expiring;
DROP INDEX {{.Schema}}.tasks_slots;
DROP INDEX {{.Schema}}.tasks_limited;
DROP INDEX {{.Schema}}.tasks_grouped;
DROP INDEX {{.Schema}}.tasks_arriving;
DROP INDEX {{.Schema}}.tasks_ready;
UPDATE {{.Schema}}.tasks SET state = 0 WHERE state IN (2, 3);
ALTER TABLE {{.Schema}}.tasks DROP COLUMN limit_slot, DROP COLUMN sublane;
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, priority, run_at, id) WHERE state = 0;
CREATE INDEX tasks_expiring ON {{.Schema}}.tasks (expires_at) WHERE state = 0 AND expires_at IS NOT NULL;

ALTER TABLE {{.Schema}}.tasks_dead DROP COLUMN sublane;
ALTER TABLE {{.Schema}}.task_contracts
    DROP COLUMN retention, DROP COLUMN webhook, DROP COLUMN webhook_states, DROP COLUMN webhook_contract;

-- History is partitioned by the day on which tasks finished again.
DROP FUNCTION {{.Schema}}.add_history_days(bigint[]);
ALTER TABLE {{.Schema}}.tasks_finished RENAME TO tasks_finished_after;
ALTER INDEX {{.Schema}}.tasks_finished_pkey RENAME TO tasks_finished_after_pkey;
CREATE TABLE {{.Schema}}.tasks_finished (
    id            bigint      NOT NULL,
    finished_at   timestamptz NOT NULL,
    scheduled_for timestamptz NOT NULL,
    enqueued_at   timestamptz NOT NULL,
    claimed_at    timestamptz,
    worker_id     bigint,
    claim         bigint,
    run_id        bigint,
    contract      integer     NOT NULL,
    state         smallint    NOT NULL,
    priority      smallint    NOT NULL,
    attempts      smallint    NOT NULL,
    queue         text        NOT NULL,
    step          text,
    group_key     text,
    trace_parent  text,
    payload       json        NOT NULL,
    metadata      json,
    errors        jsonb,
    result        json,
    PRIMARY KEY (id, finished_at)
) PARTITION BY RANGE (finished_at);
CREATE OR REPLACE FUNCTION {{.Schema}}.add_history_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'tasks_finished_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass('{{.Schema}}.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('{{.Schema}}.' || part, 0));
    IF to_regclass('{{.Schema}}.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE {{.Schema}}.%I (LIKE {{.Schema}}.tasks_finished INCLUDING DEFAULTS INCLUDING INDEXES)', part);
    EXECUTE format('ALTER TABLE {{.Schema}}.tasks_finished ATTACH PARTITION {{.Schema}}.%I FOR VALUES FROM (%L) TO (%L)',
        part, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
END
$$;
SELECT {{.Schema}}.add_history_day(d.day) FROM (
    SELECT DISTINCT (a.finished_at AT TIME ZONE 'UTC')::date AS day FROM {{.Schema}}.tasks_finished_after a
    UNION SELECT (now() AT TIME ZONE 'UTC')::date + i FROM generate_series(-1, 14) AS i) AS d;
INSERT INTO {{.Schema}}.tasks_finished (
    id, finished_at, scheduled_for, enqueued_at, claimed_at, worker_id, claim, run_id, contract, state,
    priority, attempts, queue, step, group_key, trace_parent, payload, metadata, errors, result)
SELECT a.id, a.finished_at, a.scheduled_for, a.enqueued_at, a.claimed_at, a.worker_id, a.claim, a.run_id, a.contract, a.state,
    a.priority, a.attempts, a.queue, a.step, a.group_key, a.trace_parent, a.payload, a.metadata, a.errors, a.result
FROM {{.Schema}}.tasks_finished_after a;
DROP TABLE {{.Schema}}.tasks_finished_after;

CREATE VIEW {{.Schema}}.all_tasks AS
SELECT 'live' AS place, t.id, (SELECT c.task_type FROM {{.Schema}}.task_contracts c WHERE c.id = t.contract) AS task_type,
    CASE
        WHEN t.state = 1 THEN 'running'
        WHEN t.run_at <= now() THEN 'ready'
        WHEN t.attempts > 0 THEN 'retrying'
        ELSE 'scheduled' END AS state,
    t.queue, t.priority, t.attempts, t.max_attempts, t.run_at, t.scheduled_for, t.enqueued_at, t.expires_at, t.claimed_at,
    NULL::timestamptz AS finished_at, t.worker_id, t.contract, t.suspect, t.group_key, t.trace_parent, t.payload, t.metadata,
    t.errors, t.errors -> -1 ->> 'code' AS code, NULL::json AS result
FROM {{.Schema}}.tasks t
UNION ALL
SELECT 'finished', t.id, (SELECT c.task_type FROM {{.Schema}}.task_contracts c WHERE c.id = t.contract),
    CASE t.state WHEN 4 THEN 'succeeded' WHEN 5 THEN 'cancelled' ELSE 'expired' END,
    t.queue, t.priority, t.attempts, NULL, NULL, t.scheduled_for, t.enqueued_at, NULL, t.claimed_at,
    t.finished_at, t.worker_id, t.contract, false, t.group_key, t.trace_parent, t.payload, t.metadata,
    t.errors, t.errors -> -1 ->> 'code', t.result
FROM {{.Schema}}.tasks_finished t
UNION ALL
SELECT 'dead', t.id, (SELECT c.task_type FROM {{.Schema}}.task_contracts c WHERE c.id = t.contract),
    'dead',
    t.queue, t.priority, t.attempts, t.max_attempts, NULL, t.scheduled_for, t.enqueued_at, NULL, t.claimed_at,
    t.finished_at, t.worker_id, t.contract, false, t.group_key, t.trace_parent, t.payload, t.metadata,
    t.errors, t.code, NULL
FROM {{.Schema}}.tasks_dead t;
