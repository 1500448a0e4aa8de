DROP INDEX {{.Schema}}.tasks_ready;
DROP FUNCTION {{.Schema}}.lane_hash(text, text);
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE waits_for = 0;
