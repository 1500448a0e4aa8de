package orchestrator_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
)

// Where a look at arrivals finds that their groups have the turn already, the
// others rest for as long as there is enough else to do, and no longer.
func TestArrivalsRestWhereALookFindsLittle(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	d := ledger("")
	w := orchestrator.NewWorker(client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	look := func(hasReady, filled bool) (lastSeen orchestrator.TaskID, putOff bool) {
		lastSeen, putOff, err := w.Admit(t.Context(), "default", hasReady, filled)
		require.NoError(t, err)
		return lastSeen, putOff
	}
	var postings []posting
	for n := range 3000 {
		postings = append(postings, posting{Account: "a", N: n})
	}
	refs := post(t, client, d, postings)
	_, err := client.DB().ExecContext(t.Context(), `INSERT INTO orchestrator.groups VALUES ('["a"]')`)
	require.NoError(t, err)

	seen, putOff := look(true, true)
	require.Equal(t, refs[999].ID(), seen, "the first look does not know better")
	require.False(t, putOff)
	seen, putOff = look(true, false)
	require.Equal(t, refs[999].ID(), seen)
	require.True(t, putOff, "to be looked at when nothing is ready any more")
	seen, putOff = look(false, true)
	require.Equal(t, refs[999].ID(), seen)
	require.False(t, putOff)
	seen, _ = look(false, false)
	require.Equal(t, refs[1999].ID(), seen, "a worker that has nothing else to do looks at all of them")
}

// Where a look finds turns that are free, the next follows at once.
func TestArrivalsDoNotRestWhereTurnsAreFree(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	d := ledger("")
	w := orchestrator.NewWorker(client, handle(d, func(context.Context, *orchestrator.Raw) ([]byte, error) { return nil, nil }), orchestrator.WorkerConfig{})
	var postings []posting
	for n := range 2000 {
		postings = append(postings, posting{Account: string(rune('a' + n%500)), N: n}) // half of the first thousand are first of their group
	}
	refs := post(t, client, d, postings)
	for _, last := range []orchestrator.TaskID{refs[999].ID(), refs[1999].ID()} {
		seen, _, err := w.Admit(t.Context(), "default", true, true)
		require.NoError(t, err)
		require.Equal(t, last, seen)
	}
	var ready, running int
	require.NoError(t, client.DB().QueryRowContext(t.Context(), `
		SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1) FROM orchestrator.tasks`).Scan(&ready, &running))
	require.Equal(t, 500, ready, "each group's first takes its place behind what is ready")
	require.Zero(t, running)
}

// The first task of a group is claimed with its group's turn when nothing else
// is ready: it never comes into a lane.
func TestFirstOfAGroupIsClaimedAtOnce(t *testing.T) {
	t.Parallel()
	client := orchestratortest.Client(t)
	d := ledger("")
	waitedFor := make(chan int, 3)
	startWorker(t, client, handle(d, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		var n int
		err := client.DB().QueryRowContext(ctx, fmt.Sprintf(`SELECT waits_for FROM orchestrator.tasks WHERE id = %d`, task.ID)).Scan(&n)
		waitedFor <- n
		return nil, err
	}), orchestrator.WorkerConfig{})
	for n, account := range []string{"a", "b", "a"} {
		refs := post(t, client, d, []posting{{Account: account, N: n}})
		require.Equal(t, 2, <-waitedFor, "else it was ready in between")
		await(t, refs)
	}
}
