package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// release hands over turns and slots that have no task any more. It comes in a
// statement after the one that took the task or won the turn, and sees what was
// committed in between.
const release = releasedOf + `
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[]) AS r(group_key, limit_key, slot, total)),
` + releasedToNobody + handOver + handedOver

// releaseJSON is release with one argument, for a transaction of the caller's.
const releaseJSON = releasedOf + `
    FROM json_to_recordset($1::json) AS r(group_key text, limit_key text, slot smallint, total smallint)),
` + releasedToNobody + handOver + handedOver

const (
	releasedOf = `
WITH released AS MATERIALIZED (
    SELECT 0::bigint AS id, nullif(r.group_key, '') AS group_key, nullif(r.limit_key, '') AS limit_key,
        CASE WHEN r.limit_key <> '' THEN r.slot END AS limit_slot, CASE WHEN r.total = 0 THEN r.slot ELSE r.total END AS total,
        false AS direct, ''::text AS queue, 0::smallint AS priority`
	releasedToNobody = `
ended AS (SELECT 0::bigint AS id WHERE false),
` + nobody + `,`
)

// Released is the turn and the slot that a task had which is not there any more.
type Released struct {
	Group string `json:"group_key"` // "": it had none
	Limit string `json:"limit_key"`
	Slot  int16  `json:"slot"`
	Total int16  `json:"total"` // the limit on slots; 0: whatever it is, the slot is within it
}

// releaseTurns hands over the turns and slots of tasks that tx has ended.
func (s *Store) releaseTurns(ctx context.Context, tx pgx.Tx, released []Released) (h Handed, err error) {
	if len(released) == 0 {
		return h, nil
	}
	n := len(released)
	groups, limits, slots, totals := make([]string, n), make([]string, n), make([]int16, n), make([]int16, n)
	for i, r := range released {
		groups[i], limits[i], slots[i], totals[i] = r.Group, r.Limit, r.Slot, r.Total
	}
	if !slices.ContainsFunc(released, func(r Released) bool { return r.Limit != "" }) {
		return s.startTurns(ctx, tx, slices.DeleteFunc(groups, func(key string) bool { return key == "" }), Arrivals{})
	}
	rows, err := tx.Query(ctx, s.text(release), s.mode, groups, limits, slots, totals)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	err = h.read(rows)
	return h, err
}

// lockTurns locks the turns of groups, so that of two who settle one the second
// sees what the first has done.
const lockTurns = `
SELECT g.key FROM orchestrator.groups g WHERE g.key = ANY ($1::text[]) AND g.blocked_by IS NULL ORDER BY g.key FOR UPDATE`

const turnsWithoutTask = `
SELECT g.key FROM unnest($1::text[]) AS g(key) WHERE ` + nobodyHasTurn

// nobodyHasTurn is true of a group g. Who was handed the turn is mostly the
// first of those that seem to wait: so it must be looked for in the order of the
// index. OFFSET 0 keeps the planner from a join, CASE from a bitmap of the whole
// group.
const nobodyHasTurn = `
    NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE ` + ofGroup + ` AND t.waits_for IN (0, 1, 3)
        AND CASE WHEN t.group_key = g.key THEN true END OFFSET 0)
    AND NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE ` + ofGroup + ` AND t.waits_for = 2
        AND CASE WHEN t.state = 1 THEN t.group_key = g.key END OFFSET 0)`

const ofGroup = `orchestrator.group_hash(t.group_key) = orchestrator.group_hash(g.key)`

// takeSlots takes what is free of limits for which tasks wait.
const takeSlots = `
WITH wanted AS MATERIALIZED (
    SELECT l.key, l.total, (SELECT count(*) FROM (
        SELECT FROM orchestrator.tasks w WHERE w.limit_key = l.key AND w.waits_for = 3 AND w.run_at <= now()
        ORDER BY w.limit_key, w.priority DESC, w.run_at, w.id LIMIT l.total) AS waiting) AS n
    FROM unnest($1::text[], $2::smallint[]) AS l(key, total))` + insertFreeSlots

// Settle gives turns that no task has to whoever is next, and free slots to
// tasks that wait for them: what the end of a task could not settle, because
// somebody had the next task locked. Totals are the limits, in the order of
// limits.
func (s *Store) Settle(ctx context.Context, groups, limits []string, totals []int16) (h Handed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var released []Released
		for _, statement := range []string{lockTurns, turnsWithoutTask} {
			if len(groups) == 0 {
				break
			}
			rows, err := tx.Query(ctx, s.text(statement), s.mode, groups)
			if err != nil {
				return err
			}
			if groups, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				return err
			}
		}
		for _, key := range groups {
			released = append(released, Released{Group: key})
		}
		if len(limits) > 0 {
			rows, err := tx.Query(ctx, s.text(takeSlots), s.mode, limits, totals)
			if err != nil {
				return err
			}
			taken, err := pgx.CollectRows(rows, pgx.RowToStructByPos[slot])
			if err != nil {
				return err
			}
			for _, one := range taken {
				released = append(released, Released{Limit: one.Key, Slot: one.Slot})
			}
		}
		h, err = s.releaseTurns(ctx, tx, released)
		return err
	})
	return h, wrap("settle turns", err)
}

type slot struct {
	Key  string
	Slot int16
}

const strayTurns = `
SELECT g.key FROM orchestrator.groups g
WHERE g.blocked_by IS NULL AND ` + nobodyHasTurn + `
LIMIT $1`

const straySlots = `
DELETE FROM orchestrator.slots s
WHERE NOT EXISTS (SELECT FROM orchestrator.tasks t WHERE t.limit_key = s.key AND t.limit_slot = s.slot)
RETURNING s.key, coalesce((
    SELECT t.contract FROM orchestrator.tasks t WHERE t.limit_key = s.key AND t.waits_for = 3
    ORDER BY t.limit_key, t.priority DESC, t.run_at, t.id LIMIT 1), 0)`

// SettleStray looks for turns and slots that no task has, at most limit of
// each kind, and settles them. The engine leaves none behind, except when a
// worker dies before it has settled one; people who delete rows by hand do.
// Total is the limit of a contract, 0 when it has none.
func (s *Store) SettleStray(ctx context.Context, l Leadership, limit int, total func(contract int32) int16) (h Handed, stray int, err error) {
	var groups, limits []string
	var totals []int16
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		rows, err := tx.Query(ctx, s.text(strayTurns), limit)
		if err != nil {
			return err
		}
		if groups, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, s.text(straySlots))
		if err != nil {
			return err
		}
		freed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[straySlot])
		if err != nil {
			return err
		}
		for _, one := range freed {
			stray++
			if n := total(one.Contract); one.Contract != 0 && n > 0 {
				limits, totals = append(limits, one.Key), append(totals, n)
			}
		}
		return nil
	})
	stray += len(groups)
	if err != nil || stray == 0 {
		return h, stray, wrap("look for stray turns", err)
	}
	h, err = s.Settle(ctx, groups, limits, totals)
	return h, stray, err
}

type straySlot struct {
	Key      string
	Contract int32
}
