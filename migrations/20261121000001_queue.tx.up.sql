-- The queue: live tasks, their history, and what runs them.
--
-- {{.Schema}}.tasks holds only live rows, so that it stays small whatever has
-- ever run. Finishing moves a row to tasks_finished, which is partitioned by
-- day (retention drops partitions), or to tasks_dead, whose rows stay until
-- somebody redrives or purges them.

CREATE SCHEMA IF NOT EXISTS {{.Schema}};

-- Every shape of every task type that was ever enqueued or handled. Tasks
-- refer to it by id; ids grow, so a worker filters with "contract <= newest I
-- know" and a short list of exceptions.
CREATE TABLE {{.Schema}}.task_contracts (
    id             integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    task_type      text        NOT NULL,
    fingerprint    text        NOT NULL,
    queue          text        NOT NULL,
    priority       smallint    NOT NULL,
    payload_schema jsonb       NOT NULL,
    result_schema  jsonb,
    policy         jsonb       NOT NULL, -- the rest of the definition, for the CLI and the untyped door
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (task_type, fingerprint)
);

CREATE SEQUENCE {{.Schema}}.task_id AS bigint CACHE 1; -- CACHE 1: id order is enqueue order

-- json, not jsonb, for what handlers read: it is stored and returned as the
-- very bytes that were written, which is faster and loses no digit.
CREATE TABLE {{.Schema}}.tasks (
    id            bigint      PRIMARY KEY DEFAULT nextval('{{.Schema}}.task_id'),
    run_at        timestamptz NOT NULL DEFAULT now(), -- not before; moved by retries
    scheduled_for timestamptz NOT NULL DEFAULT now(), -- run_at as it was enqueued
    enqueued_at   timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,                        -- ttl: never start later than this
    deadline_at   timestamptz,                        -- of all attempts together
    claimed_at    timestamptz,
    started_at    timestamptz,                        -- durable start mark, of suspects alone
    worker_id     bigint,                             -- with claim and state: the fence
    claim         bigint,                             -- the worker's own claim counter
    run_id        bigint,                             -- workflow run and step
    timeout_ms    bigint,                             -- NULL: the worker's contract decides
    contract      integer     NOT NULL,
    state         smallint    NOT NULL DEFAULT 0,     -- 0 ready, 1 running, 2 parked
    priority      smallint    NOT NULL,
    attempts      smallint    NOT NULL DEFAULT 0,     -- attempts spent
    max_attempts  smallint,                           -- NULL: the worker's contract decides
    suspect       boolean     NOT NULL DEFAULT false, -- was running in a process that died
    queue         text        NOT NULL,
    step          text,
    group_key     text,
    limit_key     text,
    trace_parent  text,
    trace_state   text,
    payload       json        NOT NULL,
    metadata      json,
    errors        jsonb                               -- one object an unsuccessful attempt
) WITH (
    fillfactor = 70,
    vacuum_truncate = off,                  -- truncation takes an exclusive lock
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.2
);

-- Claiming: a lane is (queue, priority); workers walk each from a cursor.
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, priority, run_at, id) WHERE state = 0;
-- Recovery of dead workers' tasks and adoption after a claim whose answer was lost.
CREATE INDEX tasks_running ON {{.Schema}}.tasks (worker_id, claim) WHERE state = 1;
-- Expiry of tasks that nobody claims.
CREATE INDEX tasks_expiring ON {{.Schema}}.tasks (expires_at) WHERE state = 0 AND expires_at IS NOT NULL;

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
    state         smallint    NOT NULL, -- 4 succeeded, 5 cancelled, 6 expired
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

CREATE TABLE {{.Schema}}.tasks_dead (
    id            bigint      PRIMARY KEY,
    finished_at   timestamptz NOT NULL,
    scheduled_for timestamptz NOT NULL,
    enqueued_at   timestamptz NOT NULL,
    claimed_at    timestamptz,
    worker_id     bigint,
    claim         bigint,
    run_id        bigint,
    timeout_ms    bigint,
    contract      integer     NOT NULL,
    priority      smallint    NOT NULL,
    attempts      smallint    NOT NULL,
    max_attempts  smallint,
    queue         text        NOT NULL,
    step          text,
    group_key     text,
    limit_key     text,
    trace_parent  text,
    trace_state   text,
    payload       json        NOT NULL,
    metadata      json,
    errors        jsonb,
    code          text                 -- of the last error
);
CREATE INDEX tasks_dead_newest ON {{.Schema}}.tasks_dead (finished_at DESC, id DESC);

-- A key outlives its task's move into history and expires on its own.
CREATE TABLE {{.Schema}}.idempotency_keys (
    task_type  text        NOT NULL,
    key        text        NOT NULL,
    task_id    bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (task_type, key)
);
CREATE INDEX idempotency_keys_expiry ON {{.Schema}}.idempotency_keys (expires_at);

-- One row a worker process, never one a task: heartbeats cost the same
-- whatever a worker runs. A row that is gone is a lease that is lost.
CREATE TABLE {{.Schema}}.workers (
    id           bigint      PRIMARY KEY, -- random, never used again
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    lease        interval    NOT NULL,    -- the worker is dead when heartbeat_at is older
    idle         boolean     NOT NULL DEFAULT true, -- wants to be notified of new tasks
    draining     boolean     NOT NULL DEFAULT false,
    slots        integer     NOT NULL,
    busy         integer     NOT NULL DEFAULT 0,
    pid          integer     NOT NULL,
    host         text        NOT NULL,
    version      text        NOT NULL,
    queues       text[]      NOT NULL
) WITH (fillfactor = 50);

-- The one row that says who leads; the epoch grows with every change of leader.
CREATE TABLE {{.Schema}}.leader (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    worker_id  bigint      NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

-- add_error appends one attempt's error, a JSON object or '' for none, with the
-- time. Only the newest 25 are kept: a task may be retried for years.
CREATE FUNCTION {{.Schema}}.add_error(errors jsonb, error text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN error = '' THEN errors
        WHEN errors IS NULL THEN jsonb_build_array(jsonb_build_object('at', now()) || error::jsonb)
        WHEN jsonb_array_length(errors) < 25 THEN errors || (jsonb_build_object('at', now()) || error::jsonb)
        ELSE (errors - 0) || (jsonb_build_object('at', now()) || error::jsonb) END
$$;

-- Every task, live, finished or dead, for people and for the listings of the
-- CLI. The engine itself never reads it.
--
-- Its parts are plain scans of one table each, the type looked up per row
-- instead of joined, so that "ORDER BY id LIMIT 50" merges the primary keys of
-- all tables instead of sorting history. A condition on place leaves out the
-- other tables altogether.
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

-- add_history_day makes the partition of tasks_finished for one UTC day if it
-- is missing. CREATE LIKE and ATTACH take no lock that readers of history hold
-- up, which CREATE ... PARTITION OF does.
CREATE FUNCTION {{.Schema}}.add_history_day(day date) RETURNS void LANGUAGE plpgsql AS $$
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

-- pad_tasks gives tasks 64 pages, which stay when their rows are deleted
-- (vacuum_truncate = off). On a smaller table, analysed while it was empty, the
-- planner takes a sequential scan for cheaper than any index, and prepared
-- statements would go on with that plan when there are a million rows. One that
-- was never analysed it takes for spread over hundreds of lanes, and sorts.
CREATE FUNCTION {{.Schema}}.pad_tasks() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_relation_size('{{.Schema}}.tasks') < 64 * current_setting('block_size')::bigint THEN
        INSERT INTO {{.Schema}}.tasks (id, contract, state, priority, queue, payload) -- state 3 is in no other index
        SELECT -i, 0, 3, 0, '', to_json(repeat('x', 400)) FROM generate_series(1, 1000) AS i;
        DELETE FROM {{.Schema}}.tasks WHERE state = 3;
    END IF;
    IF (SELECT reltuples < 0 FROM pg_class WHERE oid = '{{.Schema}}.tasks'::regclass) THEN
        ANALYZE {{.Schema}}.tasks;
    END IF;
END
$$;
SELECT {{.Schema}}.pad_tasks();

-- Two weeks ahead; the leader keeps it so.
SELECT {{.Schema}}.add_history_day((now() AT TIME ZONE 'UTC')::date + i) FROM generate_series(-1, 14) AS i;
