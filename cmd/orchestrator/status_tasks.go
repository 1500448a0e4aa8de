package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// statusTasks is what --tasks adds to a status.
type statusTasks struct {
	shown bool
	limit int

	newest   []orchestrator.TaskInfo
	more     bool
	finished orchestrator.FinishedCounts
}

func (s *statusTasks) read(ctx context.Context, client *orchestrator.Client) (err error) {
	for task, err := range client.Tasks(ctx, orchestrator.TaskFilter{}) {
		if err != nil {
			return err
		}
		if s.limit > 0 && len(s.newest) == s.limit {
			s.more = true
			break
		}
		s.newest = append(s.newest, task)
	}
	s.finished, err = client.CountFinished(ctx)
	return err
}

// taskStatus is one task in a status as JSON.
type taskStatus struct {
	ID          orchestrator.TaskID `json:"id"`
	Type        string              `json:"type"`
	Group       string              `json:"group,omitzero"`
	Queue       string              `json:"queue"`
	State       orchestrator.State  `json:"state"`
	Attempts    int                 `json:"attempts"`
	MaxAttempts int                 `json:"max_attempts"`
	Retries     int                 `json:"retries"`
	Worker      int64               `json:"worker,string,omitzero"`
}

// stateCount is how many tasks are in a state.
type stateCount struct {
	State     orchestrator.State `json:"state"`
	Tasks     int64              `json:"tasks"`
	Estimated bool               `json:"estimated"`
}

// statusDocument is a status with its tasks as JSON.
type statusDocument struct {
	orchestrator.Status
	Tasks  []taskStatus `json:"tasks"`
	States []stateCount `json:"states"`
}

func (s *statusTasks) document(status orchestrator.Status) statusDocument {
	document := statusDocument{Status: status, Tasks: []taskStatus{}, States: s.states(status)}
	for i := range s.newest {
		t := &s.newest[i]
		document.Tasks = append(document.Tasks, taskStatus{
			ID: t.ID, Type: t.Type, Group: t.GroupKey, Queue: t.Queue, State: t.State,
			Attempts: t.Attempts, MaxAttempts: t.MaxAttempts, Retries: t.Retries(), Worker: t.Worker,
		})
	}
	return document
}

// states counts tasks by state, in the order in which the command names them.
func (s *statusTasks) states(status orchestrator.Status) []stateCount {
	n := map[orchestrator.State]int64{
		orchestrator.Succeeded: s.finished.Succeeded,
		orchestrator.Cancelled: s.finished.Cancelled,
		orchestrator.Expired:   s.finished.Expired,
	}
	for _, q := range status.Queues {
		n[orchestrator.Ready] += q.Ready
		n[orchestrator.Scheduled] += q.Scheduled
		n[orchestrator.Retrying] += q.Retrying
		n[orchestrator.Blocked] += q.Blocked
		n[orchestrator.Throttled] += q.Throttled
		n[orchestrator.Running] += q.Running
		n[orchestrator.Dead] += q.Dead
	}
	counts := make([]stateCount, len(allStates))
	for i, state := range allStates {
		finished := state == orchestrator.Succeeded || state == orchestrator.Cancelled || state == orchestrator.Expired
		counts[i] = stateCount{State: state, Tasks: n[state], Estimated: finished && s.finished.Estimated}
	}
	return counts
}

func (c *cli) printStatusTasks(status orchestrator.Status, s *statusTasks) {
	if len(s.newest) == 0 {
		fmt.Fprintln(c.stdout, "There are no tasks.")
		return
	}
	rows := newTable(c.stdout, "TASK", "TYPE", "GROUP", "STATE", "ATTEMPTS", "RETRIES", "WORKER", "WHEN", "LAST ERROR")
	for i := range s.newest {
		t := &s.newest[i]
		group, worker := "-", "-"
		if t.GroupKey != "" {
			group = oneLine(t.GroupKey, 40)
		}
		if t.Worker != 0 {
			worker = strconv.FormatInt(t.Worker, 10)
		}
		rows.row(t.ID.String(), t.Type, group, string(t.State), fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts),
			strconv.Itoa(t.Retries()), worker, whenCell(status.Now, t), errorCell(t))
	}
	rows.flush()
	if s.more {
		fmt.Fprintf(c.stderr, "There are more than these %d: --limit 0 lists all.\n", s.limit)
	}

	fmt.Fprintln(c.stdout)
	rows = newTable(c.stdout, "STATE", "TASKS")
	for _, n := range s.states(status) {
		switch {
		case n.Tasks == 0:
		case n.Estimated:
			rows.row(string(n.State), "about "+number(n.Tasks))
		default:
			rows.row(string(n.State), number(n.Tasks))
		}
	}
	rows.flush()
}
