package orchestrator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a claim of a backlog asks each lane for.
func TestBacklogIsDividedEvenly(t *testing.T) {
	t.Parallel()
	a, b, c, low := lane{Queue: "a", Priority: 5}, lane{Queue: "b", Priority: 5}, lane{Queue: "c", Priority: 5}, lane{Queue: "a"}
	for name, one := range map[string]struct {
		ready []lane
		rooms map[string]int // by queue; 100 where nothing is said
		total int
		most  []int
	}{
		"one lane gets all":                          {ready: []lane{a}, total: 90, most: []int{90}},
		"lanes of one priority get the same":         {ready: []lane{a, b, c}, total: 90, most: []int{30, 30, 30}},
		"the claim's own limit cuts what is uneven":  {ready: []lane{a, b, c}, total: 100, most: []int{34, 34, 34}},
		"none of many is left out":                   {ready: []lane{a, b, c}, total: 1, most: []int{1, 1, 1}},
		"lower priorities are left out":              {ready: []lane{a, b, low}, total: 90, most: []int{45, 45}},
		"unless there is room for them":              {ready: []lane{a, b, low}, rooms: map[string]int{"b": 10}, total: 90, most: []int{45, 10, 35}},
		"which is for as many as there is room for":  {ready: []lane{b, low}, rooms: map[string]int{"a": 20, "b": 10}, total: 90, most: []int{10, 20}},
		"nothing is divided where nothing is wanted": {ready: []lane{a}, total: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served, most := divide(one.ready, func(l lane) int {
				if n, ok := one.rooms[l.Queue]; ok {
					return n
				}
				return 100
			}, one.total)
			require.Equal(t, one.most, most)
			require.Len(t, served, len(most))
			require.Equal(t, one.ready[:len(served)], append([]lane{}, served...))
		})
	}
}

// A queue's bucket is asked for no more tokens than the queue's lanes together
// are to be claimed for, and the queue has room for.
func TestTokensAreAskedForWhatIsWanted(t *testing.T) {
	t.Parallel()
	r := &rates{limits: map[string]*RateLimit{queueBucket("a"): {}, taskBucket("a:x"): {}}}
	lanes := []lane{{Queue: "a", Priority: 5}, {Queue: "a", Sublane: "a:x"}, {Queue: "b"}, {Queue: "b", Sublane: "a:x"}}
	rooms := map[string]room{"a": {any: 50, paced: 10}, "b": {any: 50, paced: 20}}
	require.Equal(t, map[string]int{"queue:a": 10, "task:a:x": 30}, r.asks(lanes, []int{50, 50, 50, 50}, rooms))
	require.Equal(t, map[string]int{"queue:a": 6, "task:a:x": 6}, r.asks(lanes, []int{3, 3, 3, 3}, rooms))
	require.Equal(t, map[string]int{"queue:a": 10, "task:a:x": 15}, r.asks(lanes, []int{8, 7, 7, 8}, rooms))
}
