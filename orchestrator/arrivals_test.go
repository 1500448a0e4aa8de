package orchestrator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

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

// placesOf is a handler that reports what the indexes say each task waits for
// while it runs: 2, the turn of its group, when it was claimed with that, and 0 when
// it was ready before.
func placesOf(client *orchestrator.Client, places chan<- int) orchestrator.HandlerFunc {
	return func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		var n int
		err := client.DB().QueryRowContext(ctx, fmt.Sprintf(`SELECT waits_for FROM orchestrator.tasks WHERE id = %d`, task.ID)).Scan(&n)
		places <- n
		return nil, err
	}
}

// The first task of a group is claimed with its group's turn when nothing else
// is ready: it never comes into a lane.
func TestFirstOfAGroupIsClaimedAtOnce(t *testing.T) {
	t.Parallel()
	client, spans, _ := traced(t)
	d, places := ledger(""), make(chan int, 3)
	startWorker(t, client, handle(d, placesOf(client, places)), orchestrator.WorkerConfig{})
	for n, account := range []string{"a", "b", "a"} {
		refs := post(t, client, d, []posting{{Account: account, N: n}})
		require.Equal(t, 2, <-places)
		await(t, refs)
	}
	require.Len(t, named(spans, "receive default"), 3, "each was a claim")
}

// What is ready and paused is no reason not to, and nothing is claimed beyond the room
// there is.
func TestFirstOfAGroupIsClaimedBesideAPausedQueue(t *testing.T) {
	t.Parallel()
	client, d := orchestratortest.Client(t), ledger("")
	d.Queue, d.Priority = &orchestrator.Queue{Name: "groups"}, 1
	_, err := client.DB().ExecContext(t.Context(), `INSERT INTO orchestrator.queues (name, paused_at) VALUES ('default', now())`)
	require.NoError(t, err)
	var postings []posting
	for n := range 10 {
		postings = append(postings, posting{Account: fmt.Sprint(n)})
	}
	held, places := make(chan int, len(postings)), make(chan int, len(postings))
	mux := handle(d, func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		var n int
		err := client.DB().QueryRowContext(ctx, `SELECT count(*) FROM orchestrator.tasks WHERE state = 1`).Scan(&n)
		held <- n
		if err != nil {
			return nil, err
		}
		return placesOf(client, places)(ctx, task)
	})
	mux.Handle(echo, orchestrator.HandlerFunc(echoPayload))
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 1})
	await(t, post(t, client, d, postings[:1]))
	require.Equal(t, 1, <-held)
	require.Equal(t, 2, <-places)
	enqueueMany(t, client, echo, 3)
	refs := post(t, client, d, postings)
	require.Equal(t, 1, <-held)
	require.Equal(t, 2, <-places)
	await(t, refs)
}

// What must be claimed from its lane is, the first of a group too.
func TestFirstOfAGroupTakesTheWayThroughTheLane(t *testing.T) {
	t.Parallel()
	queue := &orchestrator.Queue{Name: "paced", RateLimit: &orchestrator.RateLimit{Count: 1000, Per: time.Second}}
	for name, prepare := range map[string]func(t *testing.T, client *orchestrator.Client, mux *orchestrator.Mux, d *orchestrator.Definition) (ready func()){
		"of a queue with a rate limit": func(_ *testing.T, _ *orchestrator.Client, _ *orchestrator.Mux, d *orchestrator.Definition) func() {
			d.Queue = queue
			return func() {}
		},
		"beside a task that is ready": func(t *testing.T, client *orchestrator.Client, mux *orchestrator.Mux, _ *orchestrator.Definition) func() {
			t.Helper()
			slow, ran := paced("test:slow", hourly(1)), make(chan struct{})
			mux.Handle(slow, orchestrator.HandlerFunc(func(context.Context, *orchestrator.Raw) ([]byte, error) {
				close(ran)
				return nil, nil
			}))
			enqueueMany(t, client, slow, 2)
			return func() { <-ran } // the other waits for its token
		},
		"less urgent than others of its queue": func(_ *testing.T, _ *orchestrator.Client, mux *orchestrator.Mux, _ *orchestrator.Definition) func() {
			urgent := variant("test:urgent", func(d *orchestrator.Definition) { d.Priority = 1 })
			mux.Handle(urgent, orchestrator.HandlerFunc(echoPayload))
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, mux, d, places := orchestratortest.Client(t), orchestrator.NewMux(), ledger(""), make(chan int, 1)
			ready := prepare(t, client, mux, d)
			mux.Handle(d, placesOf(client, places))
			startWorker(t, client, mux, orchestrator.WorkerConfig{})
			ready()
			refs := post(t, client, d, []posting{{Account: "a"}})
			require.Zero(t, <-places)
			await(t, refs)
		})
	}
}

// starts is a handler that reports the priorities of tasks as they start.
func starts(priorities chan<- int) orchestrator.HandlerFunc {
	return func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		priorities <- task.Priority
		return nil, nil
	}
}

// Of the first tasks of groups the most urgent start first, whatever the groups
// are called, and of priorities that no task has had before.
func TestUrgentArrivalsStartFirst(t *testing.T) {
	t.Parallel()
	client, d := orchestratortest.Client(t), ledger("")
	var refs []orchestrator.TaskRef
	for priority, account := range []string{"a", "b", "c", "d"} {
		refs = append(refs, post(t, client, d, []posting{{Account: account}}, orchestrator.WithPriority(priority))...)
	}
	priorities := make(chan int, len(refs))
	startWorker(t, client, handle(d, starts(priorities)), orchestrator.WorkerConfig{PoolSize: 1})
	await(t, refs)
	for want := len(refs) - 1; want >= 0; want-- {
		require.Equal(t, want, <-priorities)
	}
}

// The first task of a group starts before what is ready and less urgent.
func TestUrgentArrivalStartsBeforeWhatIsReady(t *testing.T) {
	t.Parallel()
	client, d := orchestratortest.Client(t), ledger("")
	d.Priority = 1
	other := enqueue(t, client, echo, `{}`)
	refs := append(post(t, client, d, []posting{{Account: "a"}}), other)
	priorities := make(chan int, len(refs))
	mux := handle(d, starts(priorities))
	mux.Handle(echo, starts(priorities))
	startWorker(t, client, mux, orchestrator.WorkerConfig{PoolSize: 1})
	await(t, refs)
	require.Equal(t, 1, <-priorities)
}

// A worker that is full knows of a task that is more urgent than the next of a
// group.
func TestUrgentTaskGoesBeforeTheNextOfAGroup(t *testing.T) {
	t.Parallel()
	client, d := orchestratortest.Client(t), ledger("")
	refs := post(t, client, d, []posting{{"a", 0}, {"a", 1}, {"a", 2}})
	begun, proceed, priorities := make(chan struct{}), make(chan struct{}), make(chan int, 4)
	mux := handle(d, func(_ context.Context, task *orchestrator.Raw) ([]byte, error) {
		priorities <- task.Priority
		select {
		case begun <- struct{}{}:
			<-proceed
		case <-proceed:
		}
		return nil, nil
	})
	mux.Handle(echo, starts(priorities))
	w := orchestrator.NewWorker(client, mux, orchestrator.WorkerConfig{PoolSize: 1})
	runWorker(t, w)
	<-begun
	refs = append(refs, enqueue(t, client, echo, `{}`, orchestrator.WithPriority(7)))
	comesTrue(t, func() bool { return w.Urgent("default") == 7 }, "the worker hears of the urgent task")
	close(proceed)
	await(t, refs)
	require.Zero(t, <-priorities)
	require.Equal(t, 7, <-priorities)
}
