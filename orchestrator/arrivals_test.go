package orchestrator_test

import (
	"context"
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
}
