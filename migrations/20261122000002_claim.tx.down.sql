ALTER TABLE {{.Schema}}.workers DROP COLUMN held;
DROP INDEX {{.Schema}}.tasks_overdue;
DROP INDEX {{.Schema}}.tasks_expiring;
DROP INDEX {{.Schema}}.tasks_limited;
DROP INDEX {{.Schema}}.tasks_grouped;
DROP INDEX {{.Schema}}.tasks_arriving;
DROP INDEX {{.Schema}}.tasks_ready;
ALTER TABLE {{.Schema}}.tasks
    ALTER COLUMN queue RESET (n_distinct), ALTER COLUMN sublane RESET (n_distinct), ALTER COLUMN priority RESET (n_distinct);
ALTER TABLE {{.Schema}}.tasks DROP COLUMN waits_for;
ALTER TABLE {{.Schema}}.tasks SET (fillfactor = 70);
CREATE INDEX tasks_ready ON {{.Schema}}.tasks (queue, sublane, priority, run_at, id) WHERE state = 0;
CREATE INDEX tasks_running ON {{.Schema}}.tasks (worker_id, claim) WHERE state = 1;
CREATE INDEX tasks_arriving ON {{.Schema}}.tasks (queue, state, run_at, id) WHERE (state IN (2, 3)) IS TRUE;
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks (group_key, state, id) WHERE group_key IS NOT NULL;
CREATE INDEX tasks_limited ON {{.Schema}}.tasks (limit_key, priority DESC, run_at, id) WHERE state = 3;
CREATE INDEX tasks_expiring ON {{.Schema}}.tasks (expires_at) WHERE state <> 1 AND expires_at IS NOT NULL;
CREATE INDEX tasks_overdue ON {{.Schema}}.tasks (deadline_at) WHERE state <> 1 AND deadline_at IS NOT NULL;
