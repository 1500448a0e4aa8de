package diagnostic

import "fmt"

// DidYouMean suggests the candidate nearest to a misspelt word: `did you mean
// "queue"?`. It is empty when none is near enough.
func DidYouMean(word string, candidates []string) string {
	if best := Closest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// Closest is the candidate nearest to word by edit distance, where swapping
// two neighbours counts once; "" when a third of the word or more would have
// to change. Of equally near ones the first in alphabetical order is taken.
func Closest(word string, candidates []string) string {
	const longest = 128 // the cost is quadratic; no name is longer
	if len(word) > longest {
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	letters := []rune(word)
	for _, candidate := range candidates {
		if candidate == word || len(candidate) > longest || len(candidate) > 4*(len(word)+bestDistance) {
			continue // the last one is far in any case: a character has four bytes at most
		}
		d := distance(letters, []rune(candidate))
		if d < len(word) && (d < bestDistance || d == bestDistance && best != "" && candidate < best) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of a and b.
func distance(a, b []rune) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
