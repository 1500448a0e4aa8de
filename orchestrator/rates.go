package orchestrator

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// rates takes tokens for the claims of a worker. The buckets are in the
// database, one for all workers; how fast one fills is what this worker's
// definitions say.
//
// It belongs to one goroutine, the claimer's.
type rates struct {
	routes *routing
	store  *store.Store
	limits map[string]*RateLimit // by bucket, the same for a whole turn
	// dry says, by this process's clock, until when a bucket is left alone that
	// had too few tokens.
	dry map[string]time.Time
}

func newRates(w *Worker) *rates {
	return &rates{routes: w.routes, store: w.client.store, dry: map[string]time.Time{}}
}

// A bucket that is short is asked again when it has enough for a small batch,
// but at least this often: before it overflows, and before tasks wait for
// longer than anybody notices.
const (
	longestRefill  = 50 * time.Millisecond
	shortestRefill = time.Millisecond
)

// The keys of buckets.
func queueBucket(queue string) string   { return "queue:" + queue }
func taskBucket(taskType string) string { return "task:" + taskType }

// begin begins a turn of the claimer.
func (r *rates) begin() { r.limits = r.routes.contracts.Load().rates }

// buckets are those from which every task of a lane needs a token.
func (r *rates) buckets(l lane) []string {
	if len(r.limits) == 0 {
		return nil
	}
	var keys []string
	if r.limits[queueBucket(l.Queue)] != nil {
		keys = append(keys, queueBucket(l.Queue))
	}
	if l.Sublane != "" && r.limits[taskBucket(l.Sublane)] != nil {
		keys = append(keys, taskBucket(l.Sublane))
	}
	return keys
}

// wait is how long a lane has to wait for its buckets; 0 is not at all.
func (r *rates) wait(l lane) time.Duration {
	wait := time.Duration(0)
	for _, key := range r.buckets(l) {
		if until, dry := r.dry[key]; dry {
			wait = max(wait, time.Until(until))
		}
	}
	return wait
}

// take takes tokens: asks says how many of which bucket at most.
func (r *rates) take(ctx context.Context, asks map[string]int) (tokens map[string]int, err error) {
	if len(asks) == 0 {
		return nil, nil
	}
	taken, _, err := r.store.TakeTokens(ctx, r.takes(asks))
	if err != nil {
		return nil, err
	}
	tokens = make(map[string]int, len(taken))
	for key, one := range taken {
		tokens[key] = int(one.Granted)
		delete(r.dry, key)
		if tokens[key] < asks[key] {
			r.dry[key] = time.Now().Add(r.limits[key].refill(one.Left))
		}
	}
	return tokens, nil
}

// giveBack gives back tokens that no task was claimed for.
func (r *rates) giveBack(ctx context.Context, unused map[string]int) error {
	back := map[string]int{}
	for key, n := range unused {
		if n > 0 {
			back[key] = -n
			delete(r.dry, key)
		}
	}
	if len(back) == 0 {
		return nil
	}
	_, _, err := r.store.TakeTokens(ctx, r.takes(back))
	return err
}

func (r *rates) takes(wants map[string]int) []store.Take {
	takes := make([]store.Take, 0, len(wants))
	for key, want := range wants {
		limit := r.limits[key]
		takes = append(takes, store.Take{Key: key, Count: int64(limit.Count), Per: limit.Per, Burst: limit.burst(), Want: int32(want)})
	}
	return takes
}

// burst is how many tokens the bucket holds.
func (l *RateLimit) burst() float64 {
	if l.Burst > 0 {
		return float64(l.Burst)
	}
	return max(1, float64(l.Count)*float64(defaultBurst)/float64(l.Per))
}

// defaultBurst is the time in which an empty bucket fills, unless its spec
// says how much it holds.
const defaultBurst = 100 * time.Millisecond

// refill is how long to wait for more tokens than are left: for half a bucket,
// or if that takes too long, for one.
func (l *RateLimit) refill(left float64) time.Duration {
	until := func(tokens float64) time.Duration {
		return time.Duration((tokens - left) * float64(l.Per) / float64(l.Count))
	}
	return max(until(1), min(until(max(1, l.burst()/2)), longestRefill), shortestRefill)
}

// rateLimit is the queue's, nil for none.
func (q *Queue) rateLimit() *RateLimit {
	if q == nil {
		return nil
	}
	return q.RateLimit
}

// sublane is where tasks of the type wait within their queue: a type with a
// rate limit has lanes of its own, so that nobody waits behind it.
func (d *Definition) sublane() string {
	if d.RateLimit == nil {
		return ""
	}
	return d.Name
}

// asks says how many tokens of which buckets lanes could use.
func (r *rates) asks(lanes []lane, rooms map[string]room) map[string]int {
	asks, counted := map[string]int{}, map[string][]string{}
	for _, l := range lanes {
		for _, key := range r.buckets(l) {
			if !slices.Contains(counted[key], l.Queue) {
				counted[key] = append(counted[key], l.Queue)
				asks[key] += rooms[l.Queue].paced
			}
		}
	}
	return asks
}

// share says how many tasks may be claimed from each lane, and takes the
// tokens for them out of tokens: lanes that come first are served first.
func (r *rates) share(lanes []lane, rooms map[string]room, tokens map[string]int) (wants []int) {
	rooms, tokens = maps.Clone(rooms), maps.Clone(tokens)
	wants = make([]int, len(lanes))
	for i, l := range lanes {
		room, keys := rooms[l.Queue], r.buckets(l)
		if len(keys) == 0 {
			wants[i] = room.any
			continue
		}
		wants[i] = room.paced
		for _, key := range keys {
			wants[i] = min(wants[i], tokens[key])
		}
		for _, key := range keys {
			tokens[key] -= wants[i]
		}
		room.paced -= wants[i]
		rooms[l.Queue] = room
	}
	return wants
}
