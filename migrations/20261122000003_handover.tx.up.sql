-- Handing the turn of a group over changes no column of any index either, so
-- that it is a heap-only update as a claim is. Before, each inserted the row into
-- two indexes.
--
-- Workers of earlier builds would take the turn of such a task for a stray one:
-- stop them before.
ALTER TABLE {{.Schema}}.tasks DROP COLUMN waits_for; -- and with it the indexes that name it
ALTER TABLE {{.Schema}}.tasks
    -- The state as the indexes see it: 2 and 3 as they are; 0 for whatever has
    -- nothing to wait for but a worker, or was claimed from there; 2 still for what
    -- got its group's turn and a worker at once, which a negative claim tells; and 1
    -- for what got a slot and a worker at once, which must not stand in a lane's way.
    ADD COLUMN waits_for smallint NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN state > 1 THEN state
            WHEN state = 1 AND claim < 0 AND limit_slot IS NULL THEN 2
            WHEN state = 1 AND claimed_at = run_at THEN 1
            ELSE 0 END) STORED;

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

SELECT {{.Schema}}.pad_tasks();
