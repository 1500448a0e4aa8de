package measure

import (
	"slices"
	"time"
)

// Report is what was measured, and what [Report.Reading] makes of it. Its JSON
// is what `orchestrator bench --json` prints.
type Report struct {
	Server  Server    `json:"server"`
	Commit  Commit    `json:"commit"`
	Enqueue []Enqueue `json:"enqueue"` // one by one, from more and more goroutines
	Bulk    Bulk      `json:"bulk"`
	Drain   Drain     `json:"drain"`
	Pickup  Pickup    `json:"pickup"`
	Reading []string  `json:"reading"` // what the figures mean, a paragraph each
}

// Server is what was measured.
type Server struct {
	Version   string            `json:"version"`
	Settings  map[string]string `json:"settings"` // those that matter, in PostgreSQL's words
	Pooler    bool              `json:"transaction_pooler"`
	RoundTrip Latency           `json:"round_trip"` // of a statement that does nothing
}

// Commit is an INSERT of one row on one connection.
type Commit struct {
	Rate float64 `json:"per_second"`
	Latency
}

// Enqueue is single tasks, each durable when its call returns.
type Enqueue struct {
	Goroutines int     `json:"goroutines"`
	Tasks      int     `json:"tasks"`
	Rate       float64 `json:"per_second"`
	Latency
}

// Bulk is tasks in batches, one batch after the other. The latency is a batch's.
type Bulk struct {
	Batch int     `json:"batch"`
	Tasks int     `json:"tasks"`
	Rate  float64 `json:"per_second"` // tasks
	Latency
}

// Drain is tasks that do nothing, worked by one worker.
type Drain struct {
	Slots int     `json:"slots"`
	Tasks int     `json:"tasks"`
	Rate  float64 `json:"per_second"`
}

// Pickup is from the call of an enqueue to the start of the handler.
type Pickup struct {
	Rate float64 `json:"per_second"` // at which tasks were enqueued
	Latency
}

// Latency is how long something took, in milliseconds: half of the samples at
// most P50, 99 of a hundred at most P99.
type Latency struct {
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Samples int     `json:"samples"`
}

// latencyOf sorts took, of which there is at least one.
func latencyOf(took []time.Duration) Latency {
	slices.Sort(took)
	at := func(percent int) float64 {
		rank := (len(took)*percent + 99) / 100 // the nearest rank
		return float64(took[max(rank, 1)-1]) / float64(time.Millisecond)
	}
	return Latency{P50: at(50), P99: at(99), Samples: len(took)}
}

// rateOf is how many a second.
func rateOf(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }
