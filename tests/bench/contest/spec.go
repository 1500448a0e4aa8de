package contest

import "time"

// Spec is what a contestant's job is told.
type Spec struct {
	URL string `json:"url"`
	// Defaults asks for the contestant's own settings instead of those for
	// throughput.
	Defaults bool `json:"defaults"`
	// Conns is the size of the pool of connections; 0 is the contestant's own.
	Conns int `json:"conns"`
	// Tasks is how many to fill, drain, enqueue or await.
	Tasks int `json:"tasks"`
	// Batch is how many make a batch.
	Batch int `json:"batch"`
	// Goroutines is how many enqueue at the same time.
	Goroutines int `json:"goroutines"`
	// For is how long to go on, in nanoseconds.
	For time.Duration `json:"for"`
	// Rate is how many tasks to enqueue in a second.
	Rate float64 `json:"rate"`
	// Warmup is how many probes are not counted.
	Warmup int `json:"warmup"`
}

// Timed is how long a number of tasks took.
type Timed struct {
	Tasks   int     `json:"tasks"`
	Seconds float64 `json:"seconds"`
	// CallP50 is what the enqueue call took within a transaction, in
	// microseconds.
	CallP50 float64 `json:"call_p50,omitempty"`
}

// Rate is tasks a second.
func (t Timed) Rate() float64 { return float64(t.Tasks) / t.Seconds }

// Latencies are from enqueue to handler, in milliseconds.
type Latencies struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	// Probes is how many were counted, Others the tasks of the load beside them.
	Probes int `json:"probes"`
	Others int `json:"others"`
}
