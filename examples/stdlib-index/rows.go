package main

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/task-orchestrator/task-orchestrator/generated"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// row is what the database says about one task of the run.
type row struct {
	Path     string
	State    orchestrator.State
	Attempts int
	Lines    int64 // 0 unless succeeded
	Exported int
}

// rows reads the run's tasks from the view that the engine keeps of all tasks.
// It knows nothing of the handles that were waited for.
func (j *job) rows(ctx context.Context) (rows []row, err error) {
	err = j.client.DB().NewSelect().
		TableExpr("?.all_tasks", bun.Ident(j.client.Schema())).
		ColumnExpr("payload ->> 'path' AS path").
		Column("state", "attempts").
		ColumnExpr("coalesce(result ->> 'lines', '0')::bigint AS lines").
		ColumnExpr("coalesce(result ->> 'exported', '0')::bigint AS exported").
		Where("task_type = ?", generated.SourceIndex.Definition.Name).
		Where("metadata ->> 'run' = ?", j.id).
		Scan(ctx, &rows)
	return rows, err
}
