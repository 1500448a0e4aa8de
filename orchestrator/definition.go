package orchestrator

import "time"

// TaskType ties a task's definition to the Go types of its payload P and its
// result R. The generated code declares one variable per task; R is [None] for
// a task without a result.
type TaskType[P, R any] struct {
	// Definition is a field with a name: every method of an embedded one would
	// be compiled once more for each task of a spec.
	Definition *Definition
	// EncodePayload fills in defaults, validates and encodes a payload. It
	// returns a [*ValidationError] for a payload that breaks its constraints.
	EncodePayload func(P) ([]byte, error)
	// DecodePayload is the reverse, for what [TaskType.EncodePayload] wrote.
	DecodePayload func([]byte) (P, error)
	EncodeResult  func(R) ([]byte, error)
	DecodeResult  func([]byte) (R, error)
}

// None is the result type of a task that declares no result.
type None struct{}

// Definition is what the spec says about one task type: the plain data the
// engine works from. Generated code declares it; treat it as read-only.
type Definition struct {
	Name     string // "email:send"
	Queue    *Queue
	Priority int           // -100 to 100, higher runs first
	Timeout  time.Duration // of one attempt; 0 is none
	Deadline time.Duration // of all attempts together, from run_at; 0 is none
	TTL      time.Duration // the task expires when it has not started this long after run_at; 0 is none
	// Retention is how long a finished task is kept; 0 means [DefaultRetention].
	// Dead letters have one of their own: [WorkerConfig.DeadRetention].
	Retention   time.Duration
	Retry       RetryPolicy
	Idempotency *Idempotency // nil: no key is derived from the payload
	Group       []string     // payload fields whose values name the sequential group; empty: not grouped
	OnDead      string       // of a grouped task: [OnDeadSkip], which "" means too, or [OnDeadBlock]
	RateLimit   *RateLimit
	Concurrency *Concurrency
	OnFinish    *OnFinish // nil: nobody is told
	// Fingerprint identifies the shape of payload and result.
	Fingerprint string
	// PayloadSchema and ResultSchema are JSON Schema 2020-12 documents.
	// ResultSchema is empty for a task without a result.
	PayloadSchema string
	ResultSchema  string
}

// What a dead letter does to the other tasks of its group.
const (
	OnDeadSkip  = "skip"  // the next one gets its turn
	OnDeadBlock = "block" // they wait until it is redriven or purged
)

// Queue is a declared queue.
type Queue struct {
	Name string
	// PerWorker is how many of its tasks one worker runs at a time; 0 means
	// [DefaultQueueConcurrency].
	PerWorker int
	Total     int // how many run at a time on all workers together; 0 is unlimited
	RateLimit *RateLimit
}

// DefaultQueueConcurrency is how many tasks of a queue one worker runs at a
// time when the spec does not say.
const DefaultQueueConcurrency = 20

// RateLimit allows Count starts per Per, on all workers together, and at most
// Burst at once: how many the bucket holds from which starts take tokens, and
// which is full at first. 0 means what the rate gives in 100 ms, at least 1.
type RateLimit struct {
	Count int
	Per   time.Duration
	Burst int
}

// Concurrency limits how many tasks of one type run at a time on all workers
// together: Total of the whole type, or of each value of the fields By.
type Concurrency struct {
	Total int
	By    []string
}

// OnFinish says whom to tell when a task has ended.
type OnFinish struct {
	Webhook string  // URL
	States  []State // Succeeded, Dead, Cancelled, Expired; empty: all of them
}

// Idempotency says how enqueues of equal tasks are told apart.
type Idempotency struct {
	Key         []string      // payload fields the key is made of
	Window      time.Duration // how long a key is remembered
	OnDuplicate OnDuplicate
}

// OnDuplicate says what an enqueue does whose idempotency key is taken.
type OnDuplicate string

// What an enqueue does whose idempotency key is taken.
const (
	Existing OnDuplicate = "existing" // return a handle to the first task
	Reject   OnDuplicate = "reject"   // return a *DuplicateError
	// Replace makes the task that has the key into the new one while it waits
	// for its first attempt: all that the enqueue says, but for the id and when
	// it runs. Once it has started, the new task is one of its own and takes
	// the key, so that the newest payload is never lost.
	Replace OnDuplicate = "replace"
	// Debounce is Replace, and when it runs is what the last enqueue says.
	Debounce OnDuplicate = "debounce"
)

// Schedule enqueues a task at the times of a cron expression. Generated code
// declares those of a spec; [Client.PutSchedule] puts others at run time.
type Schedule struct {
	Name     string
	Task     *Definition
	Cron     string // five fields, or @hourly, @daily, @weekly, @monthly, @yearly, "@every 90m"
	Timezone string // IANA name; "" is UTC
	Payload  string // JSON; "" is {}
	Missed   string // "skip", "run_once" or "run_all"; "" is run_once
	Overlap  string // "allow" or "skip"; "" is skip
}

// Defaults that hold where the spec is silent.
const (
	DefaultQueue     = "default"
	DefaultWindow    = 24 * time.Hour     // of an idempotency key
	DefaultRetention = 7 * 24 * time.Hour // of a finished task
)

func (d *Definition) queueName() string {
	if d.Queue == nil {
		return DefaultQueue
	}
	return d.Queue.Name
}

func (d *Definition) window() time.Duration {
	if d.Idempotency == nil || d.Idempotency.Window <= 0 {
		return DefaultWindow
	}
	return d.Idempotency.Window
}

func (d *Definition) retention() time.Duration {
	if d.Retention <= 0 {
		return DefaultRetention
	}
	return d.Retention
}

// blocks tells whether a dead letter holds up its group.
func (d *Definition) blocks() bool { return d.OnDead == OnDeadBlock }

func (d *Definition) onDuplicate() OnDuplicate {
	if d.Idempotency == nil {
		return Existing
	}
	return d.Idempotency.OnDuplicate
}
