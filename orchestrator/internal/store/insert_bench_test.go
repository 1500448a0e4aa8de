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
		{"without_generated_column", `ALTER TABLE orchestrator.tasks ALTER COLUMN waits_for DROP EXPRESSION;
			ALTER TABLE orchestrator.tasks ALTER COLUMN waits_for SET DEFAULT 0`},
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
