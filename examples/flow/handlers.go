package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/task-orchestrator/task-orchestrator/examples/flow/tasks"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// worker works the tasks in one of the workers.
type worker struct {
	name string
	*journal
	// spend is the work of an attempt.
	spend func(ctx context.Context) error
}

// HandleLedgerPost needs no lock: no other task of its account runs.
func (w worker) HandleLedgerPost(ctx context.Context, t *tasks.LedgerPostTask) error {
	line := w.begin(w.name, t.Meta, t.Payload.Account, t.Payload.Entry)
	err := w.spend(ctx)
	if err == nil && t.Attempt <= t.Payload.Failures {
		err = errors.New("ledger is locked")
	}
	w.end(line, err)
	return err
}

// HandleNoticeSend runs beside everything else.
func (w worker) HandleNoticeSend(ctx context.Context, t *tasks.NoticeSendTask) error {
	line := w.begin(w.name, t.Meta, "", 0)
	err := w.spend(ctx)
	if err == nil && t.Payload.Bounces {
		err = fmt.Errorf("%s does not take mail", t.Payload.To)
	}
	w.end(line, err)
	return err
}

// journal notes the attempts of all workers, and prints them.
type journal struct {
	out io.Writer

	mu       sync.Mutex
	running  int
	most     int // that ran at a time
	attempts []attempt
}

// attempt is one line of the journal.
type attempt struct {
	worker  string
	task    orchestrator.TaskID
	number  int
	account string // "" for a notice
	entry   int
	beside  []int // the attempts that ran when this one began, by their places in the journal
	ended   bool
	err     error
}

func (j *journal) begin(worker string, t orchestrator.Meta, account string, entry int) (line int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := attempt{worker: worker, task: t.ID, number: t.Attempt, account: account, entry: entry}
	for i := range j.attempts {
		if !j.attempts[i].ended {
			a.beside = append(a.beside, i)
		}
	}
	j.running++
	j.most = max(j.most, j.running)
	j.attempts = append(j.attempts, a)
	fmt.Fprintf(j.out, "%s  begins task %s, %s %s attempt %d\n", worker, t.ID, t.Type, a.subject(), t.Attempt)
	return len(j.attempts) - 1
}

func (j *journal) end(line int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := &j.attempts[line]
	a.ended, a.err = true, err
	j.running--
	how := "done"
	if err != nil {
		how = err.Error()
	}
	fmt.Fprintf(j.out, "%s  ends task %s: %s\n", a.worker, a.task, how)
}

func (a *attempt) subject() string {
	if a.account == "" {
		return "-"
	}
	return fmt.Sprintf("%s/%d", a.account, a.entry)
}

// summary prints in which order each account's entries were posted.
func (j *journal) summary() {
	j.mu.Lock()
	defer j.mu.Unlock()
	var accounts []string
	order := map[string]string{}
	for _, a := range j.attempts {
		if a.account == "" {
			continue
		}
		if !slices.Contains(accounts, a.account) {
			accounts = append(accounts, a.account)
		}
		order[a.account] += fmt.Sprintf(" %d", a.entry)
		if a.err != nil {
			order[a.account] += " (failed)"
		}
	}
	slices.Sort(accounts)
	for _, account := range accounts {
		fmt.Fprintf(j.out, "%s:%s\n", account, order[account])
	}
	fmt.Fprintf(j.out, "at most %d attempts ran at a time\n", j.most)
}
