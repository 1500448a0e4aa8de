package nearest

import (
	"cmp"
	"slices"
)

// longest is the length above which a name is not compared: the cost grows
// with its square.
const longest = 128

// Names returns at most limit of the candidates that are near to name by edit
// distance, the nearest first. Near is when less than a third of name differs,
// or one character; swapping two neighbours counts once.
func Names(name string, candidates []string, limit int) []string {
	type near struct {
		name     string
		distance int
	}
	if len(name) > longest {
		return nil
	}
	var found []near
	for _, candidate := range candidates {
		if len(candidate) > longest || candidate == name {
			continue
		}
		if d := distance([]rune(name), []rune(candidate)); d <= max(1, len(name)/3) && d < len(name) {
			found = append(found, near{candidate, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, one := range found[:min(limit, len(found))] {
		names = append(names, one.name)
	}
	return names
}

// distance is the optimal string alignment distance of a and b.
func distance(a, b []rune) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range a {
		current[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j+1]+1, current[j]+1, previous[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
