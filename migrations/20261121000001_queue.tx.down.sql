-- Everything goes, tasks waiting included. The schema itself stays: it holds
-- the table of applied migrations.
DROP VIEW {{.Schema}}.all_tasks;
DROP FUNCTION {{.Schema}}.add_history_day(date);
DROP FUNCTION {{.Schema}}.pad_tasks();
DROP FUNCTION {{.Schema}}.add_error(jsonb, text);
DROP TABLE {{.Schema}}.leader;
DROP TABLE {{.Schema}}.workers;
DROP TABLE {{.Schema}}.idempotency_keys;
DROP TABLE {{.Schema}}.tasks_dead;
DROP TABLE {{.Schema}}.tasks_finished;
DROP TABLE {{.Schema}}.tasks;
DROP SEQUENCE {{.Schema}}.task_id;
DROP TABLE {{.Schema}}.task_contracts;
