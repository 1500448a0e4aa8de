package measure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// read says in plain words what the figures mean for a program on this database.
func (r *Report) read() []string {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	r.readDurability(say)
	r.readCommit(say)
	say("%s tasks in one call: %s tasks a second. Where there are many tasks at hand, enqueue them together.",
		Count(float64(r.Bulk.Batch)), Count(r.Bulk.Rate))
	say("One worker with %d slots works %s tasks a second that do nothing: no handler makes it more. Handlers that take 10 ms"+
		" each are bounded by the slots, too: %d of them allow %s a second.",
		r.Drain.Slots, Count(r.Drain.Rate), r.Drain.Slots, Count(math.Min(r.Drain.Rate, float64(r.Drain.Slots)*100)))
	how := "The worker was told of the tasks as it is of another process's."
	if r.Server.Pooler {
		how = "The worker polled, since no notification passes a pooler in transaction mode."
	}
	say("At %s tasks a second a handler starts %s after the enqueue was called, the commit included; one in a hundred waits for more than %s. %s",
		Count(r.Pickup.Rate), Millis(r.Pickup.P50), Millis(r.Pickup.P99), how)
	return said
}

func (r *Report) readDurability(say func(string, ...any)) {
	if r.Server.Settings["fsync"] == "off" {
		say("fsync is off: nothing waits for the disk, and a crash can destroy the database. A server that keeps its data is slower than these figures.")
	}
	if r.Server.Settings["synchronous_commit"] == "off" {
		say("synchronous_commit is off: commits return before they are durable, and a crash can lose tasks that were acknowledged.")
	}
	if standbys := r.Server.Settings["synchronous_standby_names"]; standbys != "" {
		say("Commits wait for standbys (synchronous_standby_names = %s).", standbys)
	}
}

// manyTimes is from where on the slow commits are worth a word.
const manyTimes = 5

func (r *Report) readCommit(say func(string, ...any)) {
	alone := r.Enqueue[0]
	text := fmt.Sprintf("A commit takes %s here, %s of it the way to the server and back. That bounds one goroutine which enqueues one task after the other"+
		" to about %s a second; it reaches %s.", Millis(r.Commit.P50), Millis(r.Server.RoundTrip.P50), Count(1000/r.Commit.P50), Count(alone.Rate))
	if len(r.Enqueue) > 1 {
		best := alone
		for _, one := range r.Enqueue {
			if one.Rate > best.Rate {
				best = one
			}
		}
		if best.Goroutines > 1 {
			text += fmt.Sprintf(" Goroutines that enqueue at the same time share commits: %d of them reach %s a second, and each call takes %s.",
				best.Goroutines, Count(best.Rate), Millis(best.P50))
		}
	}
	say("%s", text)
	if r.Server.RoundTrip.P50 > r.Commit.P50/2 && r.Server.RoundTrip.P50 > 1 {
		say("Most of a commit is the way to the server: a program that is nearer to it does not wait so long.")
	}
	if r.Commit.P99 > manyTimes*r.Commit.P50 {
		say("One commit in a hundred takes more than %s, %s times the usual: whatever commits at that moment waits as long.",
			Millis(r.Commit.P99), Count(r.Commit.P99/r.Commit.P50))
	}
}

// Count writes a figure with three digits that count: 231, 12,400.
func Count(n float64) string {
	if n >= 1000 {
		unit := math.Pow(10, math.Floor(math.Log10(n))-2)
		n = math.Round(n/unit) * unit
	}
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// Millis writes milliseconds, or seconds when they are many: 0.21 ms, 4.1 ms,
// 38 ms, 1.2 s.
func Millis(ms float64) string {
	switch {
	case ms >= 1000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case ms >= 10:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms >= 1:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
}
