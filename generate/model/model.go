package model

import (
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// Spec is a whole checked and resolved specification. Every slice is sorted
// by name unless its field says otherwise, so that emitters are deterministic
// by construction.
type Spec struct {
	// Package is the name of the generated Go package.
	Package string
	// Files are the spec files that were read, the root first, as slash paths
	// relative to the root file's directory.
	Files     []string
	Queues    []*Queue
	Types     []*Type // every declared Go type: named ones, inline objects and enums, payloads and results; sorted by GoName
	Tasks     []*Task
	Schedules []*Schedule
	// Segments groups the tasks by first name segment: one generated file each.
	Segments []*Segment
}

// Segment is the tasks that share the first segment of their name.
type Segment struct {
	Name   string // "email"
	GoName string // "Email"
	Tasks  []*Task
	// Lone is set when the segment's only task has the segment's own name
	// (`cleanup`). RegisterCleanup of the task and of the segment would then be
	// the same function twice: emit the task's alone.
	Lone bool
	// Types are the types that belong to this segment's tasks alone (their
	// payloads, results and inline types), in order of first use. The types of
	// the spec's `types` section belong to no segment.
	Types []*Type
}

// Position is a place in a spec file; Line and Column count from 1. File is a
// path in the file system the spec was loaded from. The zero Position belongs
// to what the spec does not write, such as the queue `default`.
type Position = diagnostic.Position

// Queue is one queue, declared under `queues` or used by a task.
type Queue struct {
	Name        string
	GoName      string // "Email", so that the generated constant is QueueEmail
	Description string
	PerWorker   int // tasks of this queue one worker runs at a time; 0 when not declared (the engine's default applies)
	Total       int // tasks of this queue all workers run at a time; 0 is unlimited
	RateLimit   *Rate
	SLO         *SLO // of all its tasks together; nil without one
	Position    Position
}

// SLO is what is promised of tasks; at least one of the two is set. It steers
// nothing at run time: rules and dashboards are made from it.
type SLO struct {
	StartWithin time.Duration // from when a task is ready to its start; 0 is no promise
	Succeed     Share         // of the tasks that end; 0 is no promise
}

// Share is a part of the whole in millionths: 995,000 is 99.5%.
type Share = spec.Percent

// Rate is `rate_limit`: Count events per Per, at most Burst at once.
type Rate struct {
	Count int
	Per   time.Duration
	Burst int // 0 means what the rate gives in 100 ms, at least 1
}

// Task is one task type with every default and policy resolved.
type Task struct {
	Name        string // "email:send"
	GoName      string // "EmailSend"
	Segment     string // "email"
	Description string // becomes the doc comment; "" when neither description nor comment is there
	Deprecated  string
	Queue       *Queue
	Priority    int
	Timeout     time.Duration // of one attempt; 0 is none
	Deadline    time.Duration // 0 is none
	TTL         time.Duration // 0 is none
	Retention   time.Duration // 0 means the engine's default
	Retry       Retry
	Idempotency *Idempotency // nil when no key is declared
	Group       []*FieldPath
	OnDead      string // "skip" (default) | "block"; "" without a group
	RateLimit   *Rate
	Concurrency *Concurrency
	OnFinish    *OnFinish // nil without one
	SLO         *SLO      // nil without one
	// Payload and Result are object types. Payload is never nil: a task
	// without one has an object without fields. Result is nil when the task
	// has none. `payload: Name` gives the named type itself, so that its GoName
	// is not EmailSendPayload; that name stays reserved for an alias.
	Payload *Type
	Result  *Type
	// Fingerprint identifies the contract: "v1:" and 32 hex digits of a hash
	// over the shapes and constraints of payload and result. Descriptions,
	// policies and Go names do not enter it.
	Fingerprint string
	// Settings lists every resolved value with where it came from, in the
	// order of the grammar, for `orchestrator explain`.
	Settings []Setting
	Position Position
}

// OnFinish is whom to tell when a task has ended.
type OnFinish struct {
	Webhook string   // URL
	States  []string // nil: whichever state it ends in
}

// Setting is one resolved value of a task and its origin.
type Setting struct {
	Key      string   // "retry.max_attempts"
	Value    string   // as it would be written in YAML
	Origin   string   // "default of the engine" | "defaults" | "policy patient" | "task"
	Position Position // zero for the engine's defaults
}

// Retry is the resolved retry policy.
type Retry struct {
	MaxAttempts int    // counts the first try
	Backoff     string // "exponential" | "linear" | "constant"
	BaseDelay   time.Duration
	MaxDelay    time.Duration
	Multiplier  float64
	Jitter      string  // "full" | "equal" | "none"
	GiveUpOn    []*Code // codes that end the task at once
}

// Code is an error code a handler may return.
type Code struct {
	Name   string // "address_rejected"
	GoName string // "EmailSendAddressRejected"
}

// Idempotency is the resolved `idempotency` mapping.
type Idempotency struct {
	Key         []*FieldPath
	Window      time.Duration
	OnDuplicate string // "existing" | "reject" | "replace" | "debounce"
}

// Concurrency is a task type's own limit.
type Concurrency struct {
	Total int
	By    []*FieldPath // empty: over the whole type
}

// FieldPath names a scalar in a payload: `account_id` or `customer.id`.
// Fields has one entry a step; all but the last are of object type.
type FieldPath struct {
	Path   string
	Fields []*Field
}

// TypeKind says what a declared type is.
type TypeKind int

// The kinds of declared types.
const (
	ObjectType TypeKind = iota // a struct
	EnumType                   // a string type with constants
	AliasType                  // a name for a scalar, list or map with constraints: `Sku: {type: string, pattern: ...}`; never for another named type or an optional
)

// Type is a type that gets a Go declaration.
type Type struct {
	Name        string // as in `types`; "" for payloads, results and inline types
	GoName      string
	Kind        TypeKind
	Description string
	Deprecated  string
	Fields      []*Field     // of an ObjectType, in the order of the spec
	Values      []*EnumValue // of an EnumType, in the order of the spec
	Aliased     *Ref         // of an AliasType
	// Sensitive tells whether the type holds a sensitive field at any depth.
	Sensitive bool
	// Defaults tells whether it holds a defaulted field at any depth.
	Defaults bool
	Position Position
}

// EnumValue is one value of an enum.
type EnumValue struct {
	Value  string
	GoName string // "CurrencyEUR"
}

// Field is one field of an object.
type Field struct {
	Name        string // "user_id", the JSON name
	GoName      string // "UserID"
	Type        *Ref
	Description string
	Deprecated  string
	Sensitive   bool
	// Default is the canonical JSON of the default value, "" without one; a
	// duration is in ISO 8601 (PT36H). For a field whose Go zero value means
	// the default, emitters fill it in when they encode and decode.
	Default  string
	Position Position
}

// Kind says what a value is.
type Kind int

// The kinds of values. List, Map and Optional have an element; Named refers to
// a declared Type.
const (
	String Kind = iota
	Bool
	Int
	Int64
	Float64
	Decimal
	Bytes
	UUID
	Time
	Date
	Duration
	Any
	List
	Map
	Optional
	Named
)

// Ref is the use of a type in a field, a list element and so on, with the
// constraints that hold at this place.
type Ref struct {
	Kind        Kind
	Elem        *Ref  // of List, Map and Optional
	Named       *Type // of Named; an inline enum or object is Named too, with a synthesised GoName
	Constraints Constraints
}

// Constraints are checked by the generated Validate. Bounds are the text of
// the spec in canonical form, so that no digit is lost on the way; "" and nil
// mean absent. Those of an optional are on its element. A Ref to a named type
// has none: they are on the type.
type Constraints struct {
	// Min and Max bound int, int64, float64 (a JSON number), decimal (digits),
	// duration (as time.Duration.String writes it), time (RFC 3339, UTC) and
	// date (2026-11-21).
	Min, Max             string
	MinLength, MaxLength *int   // characters of a string, bytes of a bytes
	MinItems, MaxItems   *int   // of a list or a map
	UniqueItems          bool   // of a list of scalars
	Pattern              string // RE2; of a string
	Format               string // "email" | "uri" | "ip" | "hostname"; of a string
}

// Schedule is one entry of `schedules`.
type Schedule struct {
	Name        string
	GoName      string
	Description string
	Task        *Task
	Cron        string
	Timezone    string // IANA name; "UTC" by default
	Payload     string // canonical JSON, checked against the task's payload
	Missed      string // "skip" | "run_once" | "run_all"
	Overlap     string // "allow" | "skip"
	Position    Position
}
