package golang

// The declarations of the generated package as plain data. Strings are Go
// source unless a comment says otherwise.

// file is one file of the package.
type file struct {
	Name    string // "email_gen.go"
	Header  string // the whole first line
	Package string
	Imports [][]string // import paths, in groups

	Tasks   []*taskDecl
	Types   []*typeDecl  // of types_gen.go
	Segment *segmentDecl // of a segment's file
	Whole   *wholeDecl   // of tasks_gen.go
	Schemas []constant
}

// typeDecl is one type with its methods.
type typeDecl struct {
	Name string
	Doc  string // text
	Spec string // what stands after the name: "struct {...}", "string", "= string"

	Constants []constant // of an enum, in the order of the spec

	// Of an object:
	Subject  string // "payload", "result" or "": how violations start
	Encode   string // the statements of the encode method; "" makes no methods
	Defaults string // the statements of fillDefaults; "" makes none
}

// constant is a constant of a known type.
type constant struct {
	Name  string
	Doc   string // text
	Value string
}

// taskDecl is everything about one task.
type taskDecl struct {
	Types      []*typeDecl // those declared in place
	Task       string      // "email:send", text
	Name       string      // "EmailSend"
	Doc        string      // text
	EnqueueDoc string      // text, with the Deprecated paragraph
	Payload    string
	Result     string // "orchestrator.None" without one
	HasResult  bool
	// EncodeResult and DecodeResult are functions of the package, or codec's
	// for a task without a result.
	EncodeResult string
	DecodeResult string
	// PayloadDefaults and ResultDefaults tell whether the type has fillDefaults.
	PayloadDefaults bool
	ResultDefaults  bool
	Codes           []constant
	Definition      []setting
	Schedules       []*scheduleDecl // declared when the task's handler is registered
	Keys            []key
}

// setting is a field of a composite literal.
type setting struct {
	Field string
	Value string
}

// key sets one of the request's keys.
type key struct {
	Field     string // "GroupKey"
	Condition string // "" or when the key is there: "p.AccountID != nil"
	Value     string // "codec.Key(*p.AccountID)"
}

// segmentDecl is the handlers of one segment.
type segmentDecl struct {
	Segment  string // "email", text
	Handlers string // the interface, "EmailHandlers"
	Register string // the function, "RegisterEmail"
	Shared   bool   // the only task's function has this name and serves for both
	Tasks    []string
}

// wholeDecl is what the package has once.
type wholeDecl struct {
	Source    string // the spec file, text
	Queues    []*queueDecl
	Segments  []*segmentDecl
	Schedules []*scheduleDecl
}

// scheduleDecl is a schedule's constant and its literal.
type scheduleDecl struct {
	Name   string // "NightlyDigest"
	Doc    string // text
	Value  string
	Fields []setting
}

// queueDecl is a queue's constant and, when a task uses it, its definition.
type queueDecl struct {
	Name       string // "Email"
	Doc        string // text
	Value      string
	Definition []setting
}
