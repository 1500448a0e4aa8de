package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// inBulk is how many tasks BenchmarkInsert inserts at a time.
const inBulk = 5000

// BenchmarkInsert inserts tasks in bulk into the table of tasks, and into ones
// without a part of it, or with another one, which shows what the part costs.
// Nothing else of the engine is timed.
func BenchmarkInsert(b *testing.B) {
	for _, of := range []struct{ name, change string }{
		{"whole", ""},
		{"without_tasks_ready", `DROP INDEX orchestrator.tasks_ready`},
		{"with_texts_in_tasks_ready", `DROP INDEX orchestrator.tasks_ready;
			CREATE INDEX tasks_ready ON orchestrator.tasks (queue, sublane, priority, run_at, id) WHERE waits_for = 0`}, // before the migration "hashes"
		{"without_tasks_pkey", `ALTER TABLE orchestrator.tasks DROP CONSTRAINT tasks_pkey`},
		{"without_other_indexes", `DROP INDEX orchestrator.tasks_arriving, orchestrator.tasks_expiring, orchestrator.tasks_grouped,
			orchestrator.tasks_limited, orchestrator.tasks_overdue, orchestrator.tasks_slots`},
		{"with_generated_column", `ALTER TABLE orchestrator.tasks DROP COLUMN waits_for;
			ALTER TABLE orchestrator.tasks ADD COLUMN waits_for smallint NOT NULL GENERATED ALWAYS AS (
				CASE WHEN state > 1 THEN state WHEN state = 1 AND claim < 0 AND limit_slot IS NULL THEN 2 WHEN state = 1 AND claimed_at = run_at THEN 1 ELSE 0 END) STORED;
			CREATE INDEX tasks_ready ON orchestrator.tasks (orchestrator.lane_hash(queue, sublane), priority, run_at, id) WHERE waits_for = 0;
			CREATE INDEX tasks_arriving ON orchestrator.tasks (queue, waits_for, run_at, id) WHERE (waits_for IN (2, 3)) IS TRUE;
			CREATE INDEX tasks_grouped ON orchestrator.tasks (orchestrator.group_hash(group_key), waits_for, id) WHERE group_key IS NOT NULL;
			CREATE INDEX tasks_limited ON orchestrator.tasks (limit_key, priority DESC, run_at, id) WHERE waits_for = 3`}, // before the migration "waits"
		{"without_constraint", `ALTER TABLE orchestrator.tasks DROP CONSTRAINT tasks_waits_for`},
	} {
		b.Run(of.name, func(b *testing.B) {
			s := migrated(b)
			fill(b, s, addContracts)
			if of.change != "" {
				fill(b, s, of.change)
			}
			tasks := make([]NewTask, inBulk)
			for i := range tasks {
				tasks[i] = NewTask{Contract: 1, Type: "mail:welcome", Queue: "default", Payload: `{"user_id":1204,"template":"welcome"}`}
			}
			b.ReportAllocs()
			for b.Loop() {
				inserted, err := s.Insert(b.Context(), tasks)
				require.NoError(b, err)
				require.Len(b, inserted, inBulk)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*inBulk), "µs/task")
		})
	}
}
