package main

import (
	"context"
	"log/slog"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(orchestratortest.Main(m)) }

var (
	workerIDs = regexp.MustCompile(`\b\d{6,}\b`)
	ages      = regexp.MustCompile(`\b\d+[smhd] ago`)
	blanks    = regexp.MustCompile(`  +`)
)

// listing is what `status --tasks` prints of the tasks, without what differs
// from run to run.
func listing(t *testing.T, cli func(...string) string) string {
	t.Helper()
	text := cli("status", "--tasks")
	tasks := regexp.MustCompile(`(?s)TASK .*`).FindString(text)
	require.NotEmpty(t, tasks, text)
	return blanks.ReplaceAllString(ages.ReplaceAllString(workerIDs.ReplaceAllString(tasks, "WORKER"), "AGE ago"), "  ")
}

func TestTenTasksOnThreeWorkers(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	cli := harness.CLI(t, url)
	hold, begun := make(chan struct{}), make(chan struct{}, 100)
	spend := func(ctx context.Context) error {
		begun <- struct{}{}
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var out harness.Buffer
	type outcome struct {
		journal *journal
		err     error
	}
	done := make(chan outcome, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		j, err := run(ctx, url, spend, &out, orchestrator.ClientConfig{Logger: slog.New(slog.DiscardHandler)})
		done <- outcome{j, err}
	}()

	// Each worker's two slots are taken: by the first of each account, which
	// block the others, and by the notices.
	for range 6 {
		harness.Receive(t, "an attempt to begin", begun)
	}
	require.Equal(t, `TASK  TYPE  GROUP  STATE  ATTEMPTS  RETRIES  WORKER  WHEN  LAST ERROR
10  notice:send  -  running  0 of 2  0  WORKER  claimed AGE ago
9  ledger:post  ledger:post["grace"]  blocked  0 of 3  0  -  due AGE ago
8  notice:send  -  running  0 of 2  0  WORKER  claimed AGE ago
7  ledger:post  ledger:post["ada"]  blocked  0 of 3  0  -  due AGE ago
6  notice:send  -  running  0 of 2  0  WORKER  claimed AGE ago
5  ledger:post  ledger:post["grace"]  blocked  0 of 3  0  -  due AGE ago
4  ledger:post  ledger:post["ada"]  blocked  0 of 3  0  -  due AGE ago
3  notice:send  -  running  0 of 2  0  WORKER  claimed AGE ago
2  ledger:post  ledger:post["grace"]  running  0 of 3  0  WORKER  claimed AGE ago
1  ledger:post  ledger:post["ada"]  running  0 of 3  0  WORKER  claimed AGE ago

STATE  TASKS
blocked  4
running  6
`, listing(t, cli))
	close(hold)
	got := harness.Receive(t, "the end", done)
	require.NoError(t, got.err)
	require.Contains(t, out.String(), "ada: 1 2 (failed) 2 3\ngrace: 1 2 3\nat most 6 attempts ran at a time\n")
	checkJournal(t, got.journal)
	require.Equal(t, `TASK  TYPE  GROUP  STATE  ATTEMPTS  RETRIES  WORKER  WHEN  LAST ERROR
10  notice:send  -  succeeded  1 of 2  0  WORKER  ended AGE ago
9  ledger:post  ledger:post["grace"]  succeeded  1 of 3  0  WORKER  ended AGE ago
8  notice:send  -  succeeded  1 of 2  0  WORKER  ended AGE ago
7  ledger:post  ledger:post["ada"]  succeeded  1 of 3  0  WORKER  ended AGE ago
6  notice:send  -  dead  2 of 2  1  WORKER  ended AGE ago  nobody does not take mail
5  ledger:post  ledger:post["grace"]  succeeded  1 of 3  0  WORKER  ended AGE ago
4  ledger:post  ledger:post["ada"]  succeeded  2 of 3  1  WORKER  ended AGE ago  ledger is locked
3  notice:send  -  succeeded  1 of 2  0  WORKER  ended AGE ago
2  ledger:post  ledger:post["grace"]  succeeded  1 of 3  0  WORKER  ended AGE ago
1  ledger:post  ledger:post["ada"]  succeeded  1 of 3  0  WORKER  ended AGE ago

STATE  TASKS
succeeded  9
dead  1
`, listing(t, cli))
}

// checkJournal holds the attempts to what tasks.yaml says.
func checkJournal(t *testing.T, j *journal) {
	t.Helper()
	entries, attempts, workers := map[string][]int{}, map[orchestrator.TaskID]int{}, map[string]bool{}
	apart := false
	for i, a := range j.attempts {
		require.True(t, a.ended)
		attempts[a.task]++
		require.Equal(t, attempts[a.task], a.number)
		if i < 6 {
			workers[a.worker] = true
		}
		if a.account != "" {
			entries[a.account] = append(entries[a.account], a.entry)
		}
		for _, other := range a.beside {
			b := j.attempts[other]
			require.False(t, a.account != "" && a.account == b.account, "task %s began while task %s ran: %s", a.task, b.task, j.out)
			apart = apart || a.account != "" && b.account != ""
		}
	}
	require.Equal(t, map[string][]int{"ada": {1, 2, 2, 3}, "grace": {1, 2, 3}}, entries, "in order, a retry before the next")
	require.Equal(t, map[orchestrator.TaskID]int{1: 1, 2: 1, 3: 1, 4: 2, 5: 1, 6: 2, 7: 1, 8: 1, 9: 1, 10: 1}, attempts)
	require.True(t, apart, "no two accounts were posted to at the same time")
	require.Len(t, workers, 3, "each of the workers had its share")
}
