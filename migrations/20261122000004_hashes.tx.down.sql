DROP INDEX {{.Schema}}.tasks_grouped;
DROP INDEX {{.Schema}}.tasks_ready;
DROP FUNCTION {{.Schema}}.group_hash(text);
DROP FUNCTION {{.Schema}}.lane_hash(text, text);
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE waits_for = 0;
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks (group_key, waits_for, id) WHERE group_key IS NOT NULL;
