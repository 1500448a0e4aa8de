package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	require.Equal(t, Spread{Median: 2, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2}))
	require.Equal(t, Spread{Median: 2.5, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2, 3}))
}

func TestRatioIsTheMedianOfTheRoundsOwn(t *testing.T) {
	t.Parallel()
	round := func(ours, theirs float64) map[string]Measure {
		return map[string]Measure{"ours": {Value: ours}, "theirs": {Value: theirs}}
	}
	o := Outcome{
		Case: Case{Targets: []Target{
			{Contestant: "ours", Against: "theirs", AtLeast: 3},
			{Contestant: "ours", Against: "theirs", AtMost: 3},
			{Contestant: "ours", AtLeast: 100},
			{Contestant: "ours", Against: "absent", AtLeast: 1},
			{Contestant: "ours", Figure: "p99", AtLeast: 1},
		}},
		// Half as fast for both in the second round: the ratio stays.
		Rounds: []map[string]Measure{round(400, 100), round(200, 50), round(300, 100)},
		Absent: map[string]string{"absent": "it is not there"},
	}
	v := o.Verdicts()
	require.Equal(t, Spread{Median: 4, Min: 3, Max: 4}, v[0].Reached)
	require.True(t, v[0].Met)
	require.False(t, v[1].Met)
	require.Equal(t, Spread{Median: 300, Min: 200, Max: 400}, v[2].Reached)
	require.True(t, v[2].Met)
	require.Equal(t, "absent is absent: it is not there", v[3].Open)
	require.Equal(t, "not measured", v[4].Open)
}

func TestNobodyAlwaysFollowsTheSame(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 4, 6} {
		follows := map[[2]int]int{}
		for round := range n {
			seen := map[int]bool{}
			for i := range n {
				seen[turn(n, round, i)] = true
				if i > 0 {
					follows[[2]int{turn(n, round, i-1), turn(n, round, i)}]++
				}
			}
			require.Len(t, seen, n)
		}
		require.Len(t, follows, n*(n-1), "of %d: each after each other", n)
	}
}
