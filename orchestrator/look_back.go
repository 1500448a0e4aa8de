package orchestrator

import "time"

// lookBack says when rows that may have appeared behind a cursor are to be
// looked for, and how far back. Rows can appear there because transactions
// commit in another order than they begin. So it is often a little way, seldom
// far, and at first everything.
type lookBack struct {
	now      time.Time // the database's time as a statement returned it
	nowAt    time.Time // when it did, by this process's clock
	lookedAt [lookBackLevels]time.Time
	lookedTo time.Time // database time of the last look back
	// next is when, by this process's clock, the first task that was scheduled
	// for later is due; zero when the last look back found none.
	next time.Time
}

// Look-back level k is due every 100ms·4ᵏ and goes back 200ms·4ᵏ; the last one
// goes back to the beginning. A task whose enqueuing transaction took t is
// found within about 2t of its commit.
const (
	lookBackLevels   = 10
	lookBackInterval = 100 * time.Millisecond
	lookBackReach    = 200 * time.Millisecond
)

// saw notes the database's time.
func (b *lookBack) saw(now time.Time) { b.now, b.nowAt = now, time.Now() }

// databaseNow estimates the database's time from the last statement's. It is
// only used with a margin, and for nothing that is stored.
func (b *lookBack) databaseNow() time.Time { return b.now.Add(time.Since(b.nowAt)) }

// due is the highest level that is due, -1 for none; with soon, the lowest at
// least.
func (b *lookBack) due(at time.Time, soon bool) int {
	level, interval := -1, lookBackInterval
	for k := range lookBackLevels {
		if at.Sub(b.lookedAt[k]) >= interval {
			level = k
		}
		interval *= 4
	}
	if level < 0 && (soon || !b.next.IsZero() && !at.Before(b.next)) {
		level = 0
	}
	return level
}

// since is how far back a level looks, in the database's time.
func (b *lookBack) since(level int) time.Time {
	if level == lookBackLevels-1 {
		return time.Time{} // the beginning
	}
	since := b.databaseNow().Add(-lookBackReach << (2 * level))
	if before := b.lookedTo.Add(-lookBackReach); before.Before(since) {
		return before // it is a while since the last look
	}
	return since
}

// looked notes that a look back of a level has been made, begun at, which
// returned the database's time.
func (b *lookBack) looked(level int, at, now time.Time) {
	for k := range level + 1 {
		b.lookedAt[k] = at
	}
	b.saw(now)
	b.lookedTo, b.next = now, time.Time{}
}

// willBeDue notes a task that is scheduled for later.
func (b *lookBack) willBeDue(in time.Duration) {
	if due := b.nowAt.Add(in); b.next.IsZero() || due.Before(b.next) {
		b.next = due
	}
}

// again makes the next look back go to the beginning: what was paused may lie
// anywhere behind the cursors.
func (b *lookBack) again() { b.lookedAt = [lookBackLevels]time.Time{} }
