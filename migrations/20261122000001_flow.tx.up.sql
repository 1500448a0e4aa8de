-- Flow control: what shapes when a task may run.

-- Sequential groups and limits per value: a task that has a group or a limit
-- waits outside the lanes, in state 2 for its group's turn and in state 3 for
-- a slot of its limit, so that a queue's other tasks are never behind it.
ALTER TABLE {{.Schema}}.tasks
    ADD COLUMN sublane    text NOT NULL DEFAULT '', -- the task type, if that has a rate limit, and with it a lane, of its own
    ADD COLUMN limit_slot smallint;                 -- the slot of limit_key that it occupies

DROP INDEX {{.Schema}}.tasks_ready;
DROP INDEX {{.Schema}}.tasks_expiring;
-- Claiming: a lane is (queue, sublane, priority); workers walk each from a cursor.
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE state = 0;
-- Arrivals: tasks that wait for a turn or a slot, as they become due. IS TRUE
-- keeps every statement off this index that does not say the same: the planner
-- would take it for a search of a group, while it believes that few tasks wait.
CREATE INDEX tasks_arriving ON {{.Schema}}.tasks (queue, state, run_at, id) WHERE (state IN (2, 3)) IS TRUE;
-- The next of a group: its lowest id. And who has the group's turn.
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks (group_key, state, id) WHERE group_key IS NOT NULL;
-- The next of a limit: the most urgent, then the oldest. And who has its slots.
CREATE INDEX tasks_limited ON {{.Schema}}.tasks (limit_key, priority DESC, run_at, id) WHERE state = 3;
CREATE INDEX tasks_slots ON {{.Schema}}.tasks (limit_key, limit_slot) WHERE limit_slot IS NOT NULL;
-- Expiry of tasks that nobody claims, by ttl and by deadline.
CREATE INDEX tasks_expiring ON {{.Schema}}.tasks (expires_at) WHERE state <> 1 AND expires_at IS NOT NULL;
CREATE INDEX tasks_overdue ON {{.Schema}}.tasks (deadline_at) WHERE state <> 1 AND deadline_at IS NOT NULL;

-- A row is there exactly while a task of the group has its turn: it is ready,
-- running, to be retried, or waiting for a slot. Rows are inserted and deleted,
-- never updated on the hot path: a group that is always busy must not leave a
-- trail of dead rows.
CREATE TABLE {{.Schema}}.groups (
    key        text PRIMARY KEY,
    blocked_by bigint -- the dead letter that holds the group up (on_dead: block)
) WITH (
    vacuum_truncate = off,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- A row is there exactly while a task occupies the slot.
CREATE TABLE {{.Schema}}.slots (
    key  text     NOT NULL,
    slot smallint NOT NULL, -- 1 to the limit
    PRIMARY KEY (key, slot)
) WITH (
    vacuum_truncate = off,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Token buckets of rate limits, by "queue:<name>" and "task:<type>". What rate
-- and burst are is known to who takes from them.
CREATE TABLE {{.Schema}}.rate_buckets (
    key        text             PRIMARY KEY,
    tokens     double precision NOT NULL,
    updated_at timestamptz      NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What people have changed of a queue at run time; NULL: as it is declared.
CREATE TABLE {{.Schema}}.queues (
    name       text        PRIMARY KEY,
    paused_at  timestamptz,
    per_worker integer,
    total      integer,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What people have changed of a task type at run time. A policy always expires.
CREATE TABLE {{.Schema}}.task_settings (
    task_type         text        PRIMARY KEY,
    paused_at         timestamptz,
    policy            jsonb,
    policy_expires_at timestamptz,
    updated_at        timestamptz NOT NULL DEFAULT now()
);

-- How many tasks of a queue with a total each worker may run: the sum of a
-- queue's grants never exceeds its total, so nobody has to count tasks. They
-- go with their worker.
CREATE TABLE {{.Schema}}.queue_grants (
    queue     text    NOT NULL,
    worker_id bigint  NOT NULL REFERENCES {{.Schema}}.workers (id) ON DELETE CASCADE,
    granted   integer NOT NULL,
    wanted    integer NOT NULL, -- how many it could run, as it last said
    PRIMARY KEY (queue, worker_id)
) WITH (fillfactor = 50);
CREATE INDEX queue_grants_worker ON {{.Schema}}.queue_grants (worker_id);

-- Running tasks that somebody wants cancelled. Never a column of tasks: a
-- running task's row is its worker's.
CREATE TABLE {{.Schema}}.cancel_requests (
    task_id      bigint      PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now(),
    reason       text        NOT NULL DEFAULT ''
);

-- How far running tasks have come, as their handlers say.
CREATE TABLE {{.Schema}}.task_progress (
    task_id    bigint           PRIMARY KEY,
    attempt    smallint         NOT NULL,
    fraction   double precision NOT NULL, -- 0 to 1
    message    text             NOT NULL DEFAULT '',
    updated_at timestamptz      NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Each version of each schedule that a spec has declared, numbered as they are
-- first seen. Workers say which they declare; the newest version that a live
-- worker declares is the one in force.
CREATE TABLE {{.Schema}}.schedule_declarations (
    id          integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name        text        NOT NULL,
    fingerprint text        NOT NULL, -- of all that follows
    contract    integer     NOT NULL REFERENCES {{.Schema}}.task_contracts (id),
    cron        text        NOT NULL,
    timezone    text        NOT NULL,
    payload     json        NOT NULL,
    missed      text        NOT NULL,
    overlap     text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, fingerprint)
);
ALTER TABLE {{.Schema}}.workers ADD COLUMN schedules integer[] NOT NULL DEFAULT '{}'; -- declarations that its spec has

CREATE TABLE {{.Schema}}.schedules (
    name          text        PRIMARY KEY,
    contract      integer     NOT NULL REFERENCES {{.Schema}}.task_contracts (id),
    cron          text        NOT NULL,
    timezone      text        NOT NULL, -- IANA name
    payload       json        NOT NULL,
    missed        text        NOT NULL, -- skip, run_once or run_all
    overlap       text        NOT NULL, -- allow or skip
    declared      boolean     NOT NULL, -- by a spec; else dynamic: somebody put it at run time
    undeclared_at timestamptz,          -- no live worker declares it any more; such a one rests
    paused_at     timestamptz,
    next_at       timestamptz,          -- the due time that comes next; NULL: never again
    last_at       timestamptz,          -- the due time fired last
    last_task_id  bigint,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_due ON {{.Schema}}.schedules (next_at) WHERE paused_at IS NULL AND undeclared_at IS NULL;

-- How long finished tasks are kept: read when a task finishes.
ALTER TABLE {{.Schema}}.task_contracts ADD COLUMN retention interval NOT NULL DEFAULT '7 days';

-- Whom to tell when a task ends, in which states, and the contract of the tasks
-- that do so. They are enqueued by the statements that end the task.
ALTER TABLE {{.Schema}}.task_contracts
    ADD COLUMN webhook          text,
    ADD COLUMN webhook_states   smallint[],
    ADD COLUMN webhook_contract integer;

-- History is now partitioned by the day on which a row may go, so that each
-- type has a retention of its own and rows still leave by dropping whole days.
-- What is there already is kept for another week.
DROP VIEW {{.Schema}}.all_tasks;
ALTER TABLE {{.Schema}}.tasks_finished RENAME TO tasks_finished_before;
ALTER INDEX {{.Schema}}.tasks_finished_pkey RENAME TO tasks_finished_before_pkey;
CREATE TABLE {{.Schema}}.tasks_finished (
    id            bigint      NOT NULL,
    keep_until    timestamptz NOT NULL,
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
    PRIMARY KEY (id, keep_until)
) PARTITION BY RANGE (keep_until);

-- add_history_day makes the partition of tasks_finished for the rows that may
-- go after one UTC day, if it is missing. CREATE LIKE and ATTACH take no lock
-- that readers of history hold up, which CREATE ... PARTITION OF does.
CREATE OR REPLACE FUNCTION {{.Schema}}.add_history_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'tasks_kept_until_' || to_char(day, 'YYYYMMDD');
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

-- add_history_days makes the partitions that tasks may need which finish in
-- the next two weeks: for the retention of every contract, and for others, in
-- microseconds, that a worker has which is older or newer than its contract.
CREATE FUNCTION {{.Schema}}.add_history_days(others bigint[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT {{.Schema}}.add_history_day(d.day) FROM (
        SELECT DISTINCT ((now() + kept.retention) AT TIME ZONE 'UTC')::date + ahead AS day
        FROM (
            SELECT interval '7 days' AS retention
            UNION SELECT c.retention FROM {{.Schema}}.task_contracts c
            UNION SELECT other * interval '1 microsecond' FROM unnest(others) AS other) AS kept
        CROSS JOIN generate_series(0, 14) AS ahead
        ORDER BY day) AS d
$$;
SELECT {{.Schema}}.add_history_days();

INSERT INTO {{.Schema}}.tasks_finished (
    id, keep_until, finished_at, scheduled_for, enqueued_at, claimed_at, worker_id, claim, run_id, contract, state,
    priority, attempts, queue, step, group_key, trace_parent, payload, metadata, errors, result)
SELECT b.id, now() + interval '7 days', b.finished_at, b.scheduled_for, b.enqueued_at, b.claimed_at, b.worker_id, b.claim, b.run_id,
    b.contract, b.state, b.priority, b.attempts, b.queue, b.step, b.group_key, b.trace_parent, b.payload, b.metadata, b.errors, b.result
FROM {{.Schema}}.tasks_finished_before b;
DROP TABLE {{.Schema}}.tasks_finished_before;

-- A dead letter comes back as it was.
ALTER TABLE {{.Schema}}.tasks_dead ADD COLUMN sublane text NOT NULL DEFAULT '';

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
        WHEN t.run_at > now() AND t.attempts > 0 THEN 'retrying'
        WHEN t.run_at > now() THEN 'scheduled'
        WHEN t.state = 2 THEN 'blocked'
        WHEN t.state = 3 THEN 'throttled'
        ELSE 'ready' END AS state,
    t.queue, t.priority, t.attempts, t.max_attempts, t.run_at, t.scheduled_for, t.enqueued_at, t.expires_at, t.deadline_at, t.claimed_at,
    NULL::timestamptz AS finished_at, NULL::timestamptz AS keep_until, t.worker_id, t.contract, t.suspect, t.group_key, t.limit_key,
    t.trace_parent, t.payload, t.metadata, t.errors, t.errors -> -1 ->> 'code' AS code, NULL::json AS result
FROM {{.Schema}}.tasks t
UNION ALL
SELECT 'finished', t.id, (SELECT c.task_type FROM {{.Schema}}.task_contracts c WHERE c.id = t.contract),
    CASE t.state WHEN 4 THEN 'succeeded' WHEN 5 THEN 'cancelled' ELSE 'expired' END,
    t.queue, t.priority, t.attempts, NULL, NULL, t.scheduled_for, t.enqueued_at, NULL, NULL, t.claimed_at,
    t.finished_at, t.keep_until, t.worker_id, t.contract, false, t.group_key, NULL,
    t.trace_parent, t.payload, t.metadata, t.errors, t.errors -> -1 ->> 'code', t.result
FROM {{.Schema}}.tasks_finished t
UNION ALL
SELECT 'dead', t.id, (SELECT c.task_type FROM {{.Schema}}.task_contracts c WHERE c.id = t.contract),
    'dead',
    t.queue, t.priority, t.attempts, t.max_attempts, NULL, t.scheduled_for, t.enqueued_at, NULL, NULL, t.claimed_at,
    t.finished_at, NULL, t.worker_id, t.contract, false, t.group_key, t.limit_key,
    t.trace_parent, t.payload, t.metadata, t.errors, t.code, NULL
FROM {{.Schema}}.tasks_dead t;

-- As before, with a state that is still in no index's predicate, 9, and for the
-- tables of turns and slots too.
CREATE OR REPLACE FUNCTION {{.Schema}}.pad_tasks() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    enough bigint := 64 * current_setting('block_size')::bigint;
BEGIN
    IF pg_relation_size('{{.Schema}}.tasks') < enough THEN
        INSERT INTO {{.Schema}}.tasks (id, contract, state, priority, queue, payload)
        SELECT -i, 0, 9, 0, '', to_json(repeat('x', 400)) FROM generate_series(1, 1000) AS i;
        DELETE FROM {{.Schema}}.tasks WHERE state = 9;
    END IF;
    IF pg_relation_size('{{.Schema}}.groups') < enough THEN
        INSERT INTO {{.Schema}}.groups (key) SELECT repeat(' ', 400) || i FROM generate_series(1, 1200) AS i;
        DELETE FROM {{.Schema}}.groups WHERE key LIKE ' %';
    END IF;
    IF pg_relation_size('{{.Schema}}.slots') < enough THEN
        INSERT INTO {{.Schema}}.slots (key, slot) SELECT repeat(' ', 400), i FROM generate_series(1, 1200) AS i;
        DELETE FROM {{.Schema}}.slots WHERE key LIKE ' %';
    END IF;
    IF (SELECT reltuples < 0 FROM pg_class WHERE oid = '{{.Schema}}.tasks'::regclass) THEN
        ANALYZE {{.Schema}}.tasks;
    END IF;
END
$$;
SELECT {{.Schema}}.pad_tasks();
