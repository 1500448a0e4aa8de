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
		ready  []lane
		wants  []int
		total  int
		shares []int
	}{
		"one lane gets all":                         {ready: []lane{a}, wants: []int{99}, total: 90, shares: []int{90}},
		"lanes of one priority get the same":        {ready: []lane{a, b, c}, wants: []int{99, 99, 99}, total: 90, shares: []int{30, 30, 30}},
		"the claim's own limit cuts what is uneven": {ready: []lane{a, b, c}, wants: []int{99, 99, 99}, total: 100, shares: []int{34, 34, 34}},
		"none of many is left out":                  {ready: []lane{a, b, c}, wants: []int{9, 9, 9}, total: 1, shares: []int{1, 1, 1}},
		"lower priorities are left out":             {ready: []lane{a, b, low}, wants: []int{99, 99, 99}, total: 90, shares: []int{45, 45}},
		"unless something is left for them":         {ready: []lane{a, b, low}, wants: []int{99, 10, 99}, total: 90, shares: []int{45, 10, 35}},
		"or all there is":                           {ready: []lane{a, b, low}, wants: []int{0, 0, 99}, total: 90, shares: []int{0, 0, 90}},
		"who has no tokens takes no share":          {ready: []lane{a, b, c}, wants: []int{99, 0, 99}, total: 90, shares: []int{45, 0, 45}},
		"nobody gets more than is wanted":           {ready: []lane{b, low}, wants: []int{10, 20}, total: 90, shares: []int{10, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served, shares := divide(one.ready, one.wants, one.total)
			require.Equal(t, one.shares, shares)
			require.Equal(t, one.ready[:len(shares)], served)
		})
	}
}
