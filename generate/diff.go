package generate

import (
	"fmt"
	"strings"
)

// unifiedDiff compares two texts line by line, in the format of diff -u with
// three lines of context.
func unifiedDiff(beforeName, afterName, before, after string) string {
	a, b := splitLines(before), splitLines(after)
	edits := diffLines(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", beforeName, afterName)
	for len(edits) > 0 {
		hunk := nextHunk(&edits)
		writeHunk(&out, hunk, a, b)
	}
	return out.String()
}

const contextLines = 3

// edit replaces the lines a[aFrom:aTo] with b[bFrom:bTo].
type edit struct{ aFrom, aTo, bFrom, bTo int }

// nextHunk takes the edits that are too close to each other to show apart.
func nextHunk(edits *[]edit) []edit {
	n := 1
	for n < len(*edits) && (*edits)[n].aFrom-(*edits)[n-1].aTo <= 2*contextLines {
		n++
	}
	hunk := (*edits)[:n]
	*edits = (*edits)[n:]
	return hunk
}

func writeHunk(out *strings.Builder, hunk []edit, a, b []string) {
	first, last := hunk[0], hunk[len(hunk)-1]
	lead := min(contextLines, first.aFrom)
	trail := min(contextLines, len(a)-last.aTo)
	fmt.Fprintf(out, "@@ -%s +%s @@\n",
		lineRange(first.aFrom-lead, last.aTo+trail), lineRange(first.bFrom-lead, last.bTo+trail))
	at := first.aFrom - lead
	for _, e := range hunk {
		writeLines(out, " ", a[at:e.aFrom])
		writeLines(out, "-", a[e.aFrom:e.aTo])
		writeLines(out, "+", b[e.bFrom:e.bTo])
		at = e.aTo
	}
	writeLines(out, " ", a[at:at+trail])
}

func lineRange(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprintf("%d", from+1)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, mark string, lines []string) {
	for _, line := range lines {
		out.WriteString(mark + line)
		if !strings.HasSuffix(line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// diffLines finds the edits by the lines both texts have once, patience
// fashion: match those that keep their order, and look between them.
func diffLines(a, b []string) []edit {
	var edits []edit
	var between func(aFrom, aTo, bFrom, bTo int)
	between = func(aFrom, aTo, bFrom, bTo int) {
		for aFrom < aTo && bFrom < bTo && a[aFrom] == b[bFrom] {
			aFrom++
			bFrom++
		}
		for aFrom < aTo && bFrom < bTo && a[aTo-1] == b[bTo-1] {
			aTo--
			bTo--
		}
		if aFrom == aTo && bFrom == bTo {
			return
		}
		anchors := uniqueCommon(a[aFrom:aTo], b[bFrom:bTo])
		if len(anchors) == 0 {
			edits = append(edits, edit{aFrom, aTo, bFrom, bTo})
			return
		}
		aAt, bAt := aFrom, bFrom
		for _, m := range anchors {
			between(aAt, aFrom+m.a, bAt, bFrom+m.b)
			aAt, bAt = aFrom+m.a+1, bFrom+m.b+1
		}
		between(aAt, aTo, bAt, bTo)
	}
	between(0, len(a), 0, len(b))
	return edits
}

type match struct{ a, b int }

// uniqueCommon returns the longest increasing run of lines that stand exactly
// once on either side.
func uniqueCommon(a, b []string) []match {
	type count struct{ inA, inB, atB int }
	counts := map[string]*count{}
	at := func(line string) *count {
		if counts[line] == nil {
			counts[line] = &count{}
		}
		return counts[line]
	}
	for _, line := range a {
		at(line).inA++
	}
	for i, line := range b {
		c := at(line)
		c.inB++
		c.atB = i
	}
	var candidates []match
	for i, line := range a {
		if c := counts[line]; c.inA == 1 && c.inB == 1 {
			candidates = append(candidates, match{i, c.atB})
		}
	}
	return longestIncreasing(candidates)
}

// longestIncreasing picks the most matches whose b grows; their a grows already.
func longestIncreasing(matches []match) []match {
	tails := []int{} // index of the match that ends the best run of each length
	before := make([]int, len(matches))
	for i, m := range matches {
		low, high := 0, len(tails)
		for low < high {
			if middle := (low + high) / 2; matches[tails[middle]].b < m.b {
				low = middle + 1
			} else {
				high = middle
			}
		}
		before[i] = -1
		if low > 0 {
			before[i] = tails[low-1]
		}
		if low == len(tails) {
			tails = append(tails, i)
		} else {
			tails[low] = i
		}
	}
	run := make([]match, len(tails))
	if len(tails) == 0 {
		return run
	}
	for i, at := len(tails)-1, tails[len(tails)-1]; i >= 0; i-- {
		run[i] = matches[at]
		at = before[at]
	}
	return run
}
