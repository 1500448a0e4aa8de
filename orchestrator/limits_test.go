package orchestrator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// A claim that was asked for before a pause may be answered after it.
func TestPausedJobsAreNotTakenIn(t *testing.T) {
	t.Parallel()
	p := newPool(&Worker{client: &Client{}, routes: &routing{queues: []*Queue{{Name: "q"}}}})
	j := &job{Claimed: &store.Claimed{LaneKey: &store.LaneKey{Queue: "q"}}, route: &route{definition: &Definition{Name: "a:b"}}}
	for _, paused := range []*settings{
		{queues: map[string]store.QueueSettings{"q": {Paused: true}}},
		{types: map[string]typeSettings{"a:b": {paused: true}}},
	} {
		require.Empty(t, p.tune(paused))
		require.Equal(t, []*job{j}, p.add([]*job{j}))
	}
}

// What is paused is not claimed, rather than claimed and given back.
func TestPausedTypesAreForeign(t *testing.T) {
	t.Parallel()
	r := &routing{}
	r.contracts.Store((knownContracts{
		byID: map[int32]*route{1: {}, 2: {}, 4: {}}, types: map[int32]string{1: "a:b", 2: "c:d", 3: "e:f", 4: "a:b"}, newest: 4, unknown: []int32{3},
	}).without(nil))
	require.Equal(t, []int32{3}, r.contracts.Load().foreign)
	r.pauseTypes(map[string]bool{"a:b": true})
	require.ElementsMatch(t, []int32{1, 3, 4}, r.contracts.Load().foreign)
	r.shun(2)
	require.ElementsMatch(t, []int32{1, 2, 3, 4}, r.contracts.Load().foreign)
	r.pauseTypes(map[string]bool{})
	require.ElementsMatch(t, []int32{2, 3}, r.contracts.Load().foreign)
}
