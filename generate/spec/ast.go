package spec

import "time"

// Value is a scalar, or a list read as a whole, and where it was read from.
type Value[T any] struct {
	V T
	// Set is false where the spec has no value, or one that was refused and
	// reported.
	Set bool
	// Node is where the value stands; nil for the engine's own defaults.
	Node *Node
	// Origin says which part of the spec set it, for `orchestrator explain`:
	// "defaults", "policy patient" or "task".
	Origin string
}

// File is the whole spec: the root file and all it includes.
type File struct {
	// Names are the files read, the root first, as slash paths relative to the
	// root file's directory.
	Names []string
	// Documents are the node trees of these files, in the same order.
	Documents []*Node
	// Rejected are the paths of declarations whose name was refused, so that
	// references to them are not reported as well.
	Rejected  map[string]bool
	Package   Value[string]
	Defaults  *Settings // never nil
	Policies  []*Policy
	Queues    []*Queue
	Types     []*Type
	Tasks     []*Task
	Schedules []*Schedule
}

// Policy is an entry of `policies`.
type Policy struct {
	Name     Value[string]
	Settings *Settings
}

// Settings are what `defaults`, a policy and a task can set alike.
type Settings struct {
	Queue       Value[string]
	Priority    Value[int]
	Timeout     Value[time.Duration] // 0 is `none`
	Deadline    Value[time.Duration] // 0 is `none`
	TTL         Value[time.Duration] // 0 is `none`
	Retry       Retry
	Idempotency Idempotency
	RateLimit   RateLimit
	Concurrency Concurrency
	Retention   Value[time.Duration]
	Group       Value[[]Value[string]]
	OnDead      Value[string]
	OnFinish    OnFinish
	SLO         SLO
}

// OnFinish is an `on_finish` mapping.
type OnFinish struct {
	Webhook Value[string]          // "" is `none`
	States  Value[[]Value[string]] // of [EndStates]
}

// SLO is an `slo` mapping.
type SLO struct {
	StartWithin Value[time.Duration] // 0 is `none`
	Succeed     Value[Percent]       // 0 is `none`
}

// Retry is a `retry` mapping.
type Retry struct {
	MaxAttempts Value[int]
	Backoff     Value[string]
	BaseDelay   Value[time.Duration]
	MaxDelay    Value[time.Duration]
	Multiplier  Value[float64]
	Jitter      Value[string]
	GiveUpOn    Value[[]Value[string]]
}

// Idempotency is an `idempotency` mapping.
type Idempotency struct {
	Key         Value[[]Value[string]]
	Window      Value[time.Duration]
	OnDuplicate Value[string]
}

// RateLimit is a `rate_limit`, a scalar or a mapping.
type RateLimit struct {
	// Whole is set for the scalar form, which replaces a burst set elsewhere,
	// and for `none`.
	Whole bool
	Rate  Value[Rate] // the zero Rate is `none`
	Burst Value[int]
}

// Rate is `100/s`.
type Rate struct {
	Count int
	Per   time.Duration
}

// Concurrency is a task's `concurrency` mapping.
type Concurrency struct {
	Total Value[int]
	By    Value[[]Value[string]]
}

// Queue is an entry of `queues`.
type Queue struct {
	Name        Value[string]
	Description Value[string]
	GoName      Value[string]
	PerWorker   Value[int]
	Total       Value[int]
	RateLimit   RateLimit
	SLO         SLO
}

// Type is an entry of `types`.
type Type struct {
	Name       Value[string]
	Definition *Definition // nil when it was refused
}

// Form says which of its forms a Definition has.
type Form int

// The forms of definitions.
const (
	Expression Form = iota // `list<int>` or `{type: list<int>, ...}`
	Enum                   // `{enum: [...]}`
	Object                 // `{object: {...}}`
)

// Definition is what stands where a type is expected: a bare scalar, or a
// mapping with one of type, enum and object and with constraints.
type Definition struct {
	Node   *Node
	Form   Form
	Type   *TypeExpression // of an Expression; nil when it was refused
	Values []EnumValue     // of an Enum
	Fields []*Field        // of an Object
	// Broken is set when a field was refused, so that nobody complains that it
	// is missing.
	Broken bool

	Min, Max             *Node // read by the type once it is known
	MinLength, MaxLength Value[int]
	MinItems, MaxItems   Value[int]
	UniqueItems          Value[bool]
	Pattern, Format      Value[string]
	Default              *Node
	Sensitive            Value[bool]
	Description          Value[string]
	Deprecated           Value[string]
	GoName               Value[string]
}

// EnumValue is one value of an enum.
type EnumValue struct {
	Value  Value[string]
	GoName Value[string]
}

// Field is an entry of a field map.
type Field struct {
	Name       Value[string]
	Definition *Definition // nil when it was refused
}

// Body is a `payload` or a `result`: a field map or the name of a type.
type Body struct {
	Key    *Node
	Node   *Node
	Named  Value[string]
	Fields []*Field
	// Broken is set when the body or a field of it was refused.
	Broken bool
}

// Task is an entry of `tasks`.
type Task struct {
	Name        Value[string]
	Description Value[string]
	Deprecated  Value[string]
	GoName      Value[string]
	Policy      Value[string]
	Settings    *Settings
	Payload     *Body // nil without one
	Result      *Body // nil without one
}

// Schedule is an entry of `schedules`.
type Schedule struct {
	Name        Value[string]
	Description Value[string]
	GoName      Value[string]
	Task        Value[string]
	Cron        Value[string]
	Timezone    Value[string]
	Payload     *Node // nil without one
	Missed      Value[string]
	Overlap     Value[string]
}
