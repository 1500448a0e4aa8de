-- waits_for becomes an ordinary column, which whoever changes a task's state
-- writes too. For a generated one PostgreSQL copies the row column by column,
-- with every insert and every claim. The constraint holds it to the state: 2 and
-- 3 as they are; 0 for what has nothing to wait for but a worker. A running task
-- keeps what it had, so that its claim changes no index; only one that got a slot
-- and a worker at once has 1, because it must not stand in a lane's way.
--
-- Workers of earlier builds fail at the constraint: stop them before.
ALTER TABLE {{.Schema}}.tasks
    ALTER COLUMN waits_for DROP EXPRESSION,
    ALTER COLUMN waits_for SET DEFAULT 0;
ALTER TABLE {{.Schema}}.tasks
    ADD CONSTRAINT tasks_waits_for CHECK (
        CASE state WHEN 0 THEN waits_for = 0 WHEN 1 THEN waits_for BETWEEN 0 AND 2 ELSE waits_for = state END)
    NOT VALID; -- the rows that are there were computed: no need to read them

-- As before, with waits_for.
CREATE OR REPLACE FUNCTION {{.Schema}}.pad_tasks() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    enough bigint := 64 * current_setting('block_size')::bigint;
BEGIN
    IF pg_relation_size('{{.Schema}}.tasks') < enough THEN
        INSERT INTO {{.Schema}}.tasks (id, contract, state, waits_for, priority, queue, payload)
        SELECT -i, 0, 9, 9, 0, '', to_json(repeat('x', 400)) FROM generate_series(1, 1000) AS i;
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
