ALTER TABLE {{.Schema}}.tasks DROP COLUMN waits_for;
ALTER TABLE {{.Schema}}.tasks
    ADD COLUMN waits_for smallint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN state > 1 THEN state WHEN state = 1 AND claimed_at = run_at THEN 1 ELSE 0 END) STORED;
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE waits_for = 0;
CREATE INDEX tasks_arriving ON {{.Schema}}.tasks (queue, waits_for, run_at, id) WHERE (waits_for IN (2, 3)) IS TRUE;
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks (group_key, waits_for, id) WHERE group_key IS NOT NULL;
CREATE INDEX tasks_limited ON {{.Schema}}.tasks (limit_key, priority DESC, run_at, id) WHERE waits_for = 3;
