package store

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Take asks a token bucket for tokens.
type Take struct {
	Key   string
	Count int64         // that Per brings
	Per   time.Duration // of Count
	Burst float64       // that the bucket holds at most
	Want  int32         // negative gives tokens back that nobody used
}

// Taken is a bucket's answer.
type Taken struct {
	Granted int32   // as many as were there, at most those wanted
	Left    float64 // in the bucket
}

// take locks the buckets in the order of their keys. It reads them with FOR
// UPDATE, since that shows what the lock waited for.
//
// The time of a bucket never goes back by the moments that statements wait for
// its lock. It does go back with the database's clock, which would else grant
// nothing until it has caught up.
const take = `
WITH x AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[])
    AS x(key, count, per, burst, want)),
held AS MATERIALIZED (
    SELECT x.key, x.burst / 1e6 AS burst, x.want,
        least(x.burst / 1e6, b.tokens + extract(epoch FROM greatest(now() - b.updated_at, interval '0'))::float8 * 1e6 * x.count / x.per) AS tokens
    FROM x CROSS JOIN LATERAL (
        SELECT r.tokens, r.updated_at FROM orchestrator.rate_buckets r WHERE r.key = x.key FOR UPDATE) AS b)
UPDATE orchestrator.rate_buckets b
SET tokens = least(h.burst, h.tokens - least(h.want, floor(h.tokens))),
    updated_at = CASE WHEN b.updated_at > now() AND b.updated_at < now() + interval '10 seconds' THEN b.updated_at ELSE now() END
FROM held h
WHERE b.key = h.key
RETURNING b.key, least(h.want, floor(h.tokens))::integer, floor(b.tokens * 1e6)::bigint, b.updated_at`

// addBuckets makes the buckets that are missing, full.
const addBuckets = `
INSERT INTO orchestrator.rate_buckets (key, tokens)
SELECT x.key, x.burst / 1e6 FROM unnest($1::text[], $2::bigint[]) AS x(key, burst) ORDER BY x.key
ON CONFLICT (key) DO NOTHING`

// TakeTokens takes tokens from several buckets and returns, by key, what each
// has given, and the buckets' time. A bucket that is used for the first time
// is full.
func (s *Store) TakeTokens(ctx context.Context, takes []Take) (taken map[string]Taken, at time.Time, err error) {
	takes = slices.SortedFunc(slices.Values(takes), func(a, b Take) int { return cmp.Compare(a.Key, b.Key) })
	taken = make(map[string]Taken, len(takes))
	for {
		if at, err = s.takeTokens(ctx, takes, taken); err != nil {
			return nil, at, wrap("take tokens", err)
		}
		takes = slices.DeleteFunc(takes, func(t Take) bool {
			_, found := taken[t.Key]
			return found
		})
		if len(takes) == 0 {
			return taken, at, nil
		}
		keys, _, _, bursts, _ := takeColumns(takes)
		if _, err := s.exec(ctx, addBuckets, keys, bursts); err != nil {
			return nil, at, wrap("make token buckets", err)
		}
	}
}

func (s *Store) takeTokens(ctx context.Context, takes []Take, taken map[string]Taken) (at time.Time, err error) {
	keys, counts, pers, bursts, wants := takeColumns(takes)
	rows, err := s.query(ctx, take, keys, counts, pers, bursts, wants)
	if err != nil {
		return at, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var one Taken
		var left int64
		if err := rows.Scan(&key, &one.Granted, &left, &at); err != nil {
			return at, err
		}
		one.Left = float64(left) / millionths
		taken[key] = one
	}
	return at, rows.Err()
}

// millionths of a token are what travels, as all arguments are integers.
const millionths = 1_000_000

func takeColumns(takes []Take) (keys []string, counts, pers, bursts []int64, wants []int32) {
	for _, t := range takes {
		keys = append(keys, t.Key)
		counts = append(counts, t.Count)
		pers = append(pers, max(t.Per.Microseconds(), 1))
		bursts = append(bursts, int64(t.Burst*millionths))
		wants = append(wants, t.Want)
	}
	return keys, counts, pers, bursts, wants
}
