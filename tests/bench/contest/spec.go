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
	// Pool is how many tasks run at a time; 0 is the contestant's own number. The
	// engine and the plain pool heed it.
	Pool int `json:"pool"`
	// Shape is what the tasks of [Shaped] are like.
	Shape Shape `json:"shape"`
	// Tasks is how many to fill, drain, enqueue or await.
	Tasks int `json:"tasks"`
	// Batch is how many make a batch.
	Batch int `json:"batch"`
	// Goroutines is how many enqueue at the same time.
	Goroutines int `json:"goroutines"`
	// For is how long to go on, in nanoseconds, as the durations below are.
	For time.Duration `json:"for"`
	// Rest is how long an idle worker takes to come to rest.
	Rest time.Duration `json:"rest"`
	// Every is how often a worker notes its memory; 0 is never.
	Every time.Duration `json:"every"`
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

// Worked is what a worker did until it was stopped.
type Worked struct {
	Tasks int `json:"tasks"`
	// Memory is its resident memory in bytes, noted every so often; empty where
	// the system does not tell.
	Memory []int64 `json:"memory"`
}

// Idle is what a worker with nothing to do took.
type Idle struct {
	CPU time.Duration `json:"cpu"` // in Spec.For
}
