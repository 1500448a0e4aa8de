-- The index of lanes begins with one number instead of two texts: PostgreSQL
-- finds what comes after a text in an index entry by walking over it, with every
-- comparison, which made an entry of tasks_ready the dearest part of an enqueue.
--
-- Workers of earlier builds would read the whole table to claim: stop them
-- before.
DROP INDEX {{.Schema}}.tasks_ready;

-- lane_hash has the hash of the queue in its upper half, so that the lanes of a
-- queue are next to each other, and that of the sublane in its lower. Whoever
-- searches by it must ask for queue and sublane too: hashes may be equal.
CREATE FUNCTION {{.Schema}}.lane_hash(queue text, sublane text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashtext(queue)::bigint << 32) | (hashtext(sublane)::bigint & 4294967295)
$$;
-- Claiming: a lane is (queue, sublane, priority); workers walk each from a
-- cursor, past those that run already.
CREATE INDEX tasks_ready ON {{.Schema}}.tasks ({{.Schema}}.lane_hash(queue, sublane), priority, run_at, id) WHERE waits_for = 0;
-- As n_distinct does for columns: the planner must take a lane for small,
-- whatever the table held when it was analysed.
ALTER INDEX {{.Schema}}.tasks_ready ALTER COLUMN 1 SET STATISTICS 0;

SELECT {{.Schema}}.pad_tasks();
