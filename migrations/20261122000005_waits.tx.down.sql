ALTER TABLE {{.Schema}}.tasks DROP COLUMN waits_for;
ALTER TABLE {{.Schema}}.tasks
    ADD COLUMN waits_for smallint NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN state > 1 THEN state
            WHEN state = 1 AND claim < 0 AND limit_slot IS NULL THEN 2
            WHEN state = 1 AND claimed_at = run_at THEN 1
            ELSE 0 END) STORED;
CREATE INDEX tasks_ready ON {{.Schema}}.tasks ({{.Schema}}.lane_hash(queue, sublane), priority, run_at, id) WHERE waits_for = 0;
CREATE INDEX tasks_arriving ON {{.Schema}}.tasks (queue, waits_for, run_at, id) WHERE (waits_for IN (2, 3)) IS TRUE;
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks ({{.Schema}}.group_hash(group_key), waits_for, id) WHERE group_key IS NOT NULL;
CREATE INDEX tasks_limited ON {{.Schema}}.tasks (limit_key, priority DESC, run_at, id) WHERE waits_for = 3;
ALTER INDEX {{.Schema}}.tasks_ready ALTER COLUMN 1 SET STATISTICS 0;
ALTER INDEX {{.Schema}}.tasks_grouped ALTER COLUMN 1 SET STATISTICS 0;

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
