-- A claim changes no column of any index, and there is room for the new version
-- of a row on its page: PostgreSQL then leaves all indexes alone (a heap-only
-- update). Before, each claim inserted into two of them.
ALTER TABLE {{.Schema}}.tasks SET (fillfactor = 45);
ALTER TABLE {{.Schema}}.tasks
    -- The state as the indexes see it: 2 and 3 as they are; 0 for whatever has
    -- nothing to wait for but a worker, or was claimed from there; 1 for what got
    -- its turn and a worker at once, which must not stand in a lane's way.
    -- Generated, so that binaries that know nothing of it go on beside those that
    -- do.
    ADD COLUMN waits_for smallint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN state > 1 THEN state WHEN state = 1 AND claimed_at = run_at THEN 1 ELSE 0 END) STORED;

-- What runs has no index of its own any more: who looks for the tasks of a dead
-- worker reads the table.
DROP INDEX {{.Schema}}.tasks_running;
DROP INDEX {{.Schema}}.tasks_ready;
DROP INDEX {{.Schema}}.tasks_arriving;
DROP INDEX {{.Schema}}.tasks_grouped;
DROP INDEX {{.Schema}}.tasks_limited;
DROP INDEX {{.Schema}}.tasks_expiring;
DROP INDEX {{.Schema}}.tasks_overdue;
-- Claiming: a lane is (queue, sublane, priority); workers walk each from a
-- cursor, past those that run already.
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE waits_for = 0;
-- Arrivals: tasks that wait for a turn or a slot, as they become due. IS TRUE
-- keeps every statement off this index that does not say the same: the planner
-- would take it for a search of a group, while it believes that few tasks wait.
CREATE INDEX tasks_arriving ON {{.Schema}}.tasks (queue, waits_for, run_at, id) WHERE (waits_for IN (2, 3)) IS TRUE;
-- The next of a group: its lowest id. And who has the group's turn.
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks (group_key, waits_for, id) WHERE group_key IS NOT NULL;
-- The next of a limit: the most urgent, then the oldest.
CREATE INDEX tasks_limited ON {{.Schema}}.tasks (limit_key, priority DESC, run_at, id) WHERE waits_for = 3;
-- Expiry of tasks that nobody claims, by ttl and by deadline.
CREATE INDEX tasks_expiring ON {{.Schema}}.tasks (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX tasks_overdue ON {{.Schema}}.tasks (deadline_at) WHERE deadline_at IS NOT NULL;

-- Whatever statistics say, a lane has few rows: the planner must never think of
-- reading a whole one and sorting it.
ALTER TABLE {{.Schema}}.tasks
    ALTER COLUMN queue SET (n_distinct = 1000),
    ALTER COLUMN sublane SET (n_distinct = 1000),
    ALTER COLUMN priority SET (n_distinct = 201);

-- How many tasks of each queue a worker holds, as its last heartbeat said.
ALTER TABLE {{.Schema}}.workers ADD COLUMN held jsonb NOT NULL DEFAULT '{}';

SELECT {{.Schema}}.pad_tasks();
