-- The indexes that workers walk begin with a number instead of texts. PostgreSQL
-- finds what comes after a text in an index entry by walking over it, with every
-- comparison, which made an entry of tasks_ready the dearest part of an enqueue.
-- And in a database with a locale other than C, texts are dear to compare.
--
-- Whoever searches by a hash must ask for the text too: hashes may be equal.
--
-- Workers of earlier builds would read the whole table to claim and to hand over:
-- stop them before.
DROP INDEX {{.Schema}}.tasks_ready;
DROP INDEX {{.Schema}}.tasks_grouped;

-- lane_hash has the hash of the queue in its upper half, so that the lanes of a
-- queue are next to each other, and that of the sublane in its lower. The main
-- lanes, of the sublane '', come first, with 0 there: whoever looks for others
-- does not walk over them.
CREATE FUNCTION {{.Schema}}.lane_hash(queue text, sublane text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashtext(queue)::bigint << 32) | ((hashtext(sublane) # hashtext(''))::bigint & 4294967295)
$$;
CREATE FUNCTION {{.Schema}}.group_hash(group_key text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(group_key, 0)
$$;
-- Whoever inserts a task calls them.
GRANT EXECUTE ON FUNCTION {{.Schema}}.lane_hash(text, text), {{.Schema}}.group_hash(text) TO PUBLIC;

-- Claiming: a lane is (queue, sublane, priority); workers walk each from a
-- cursor, past those that run already.
CREATE INDEX tasks_ready ON {{.Schema}}.tasks ({{.Schema}}.lane_hash(queue, sublane), priority, run_at, id) WHERE waits_for = 0;
-- The next of a group: its lowest id. And who has the group's turn.
CREATE INDEX tasks_grouped ON {{.Schema}}.tasks ({{.Schema}}.group_hash(group_key), waits_for, id) WHERE group_key IS NOT NULL;
-- Without statistics the planner takes a lane or a group for a two-hundredth of
-- the table, whatever that held when it was analysed.
ALTER INDEX {{.Schema}}.tasks_ready ALTER COLUMN 1 SET STATISTICS 0;
ALTER INDEX {{.Schema}}.tasks_grouped ALTER COLUMN 1 SET STATISTICS 0;

SELECT {{.Schema}}.pad_tasks();
