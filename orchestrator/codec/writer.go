package codec

import (
	"strconv"
	"strings"
	"sync"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Item is the name of a value that is an element of a list, or the whole document.
const Item = ""

// Writer writes one JSON document and collects the violations in it. Methods
// that write a value take the name of the field or, in a map, the key; the name
// is ignored in a list. A method that checks is about the value written last.
type Writer struct {
	buf        []byte
	top        frame   // the container being written
	outer      []frame // the containers around it, outermost first
	name       string  // of the value written last, within top
	subject    string
	violations []orchestrator.Violation
	unlisted   int // violations past maxViolations
}

// frame is a container whose end is not yet written.
type frame struct {
	kind containerKind
	name string // in the container around it
	len  int    // values written so far
}

type containerKind uint8

const (
	document containerKind = iota
	object
	list
	mapping
)

// maxViolations bounds the size of an error about, say, a list of a million
// bad elements.
const maxViolations = 100

// maxPooledBuffer keeps one large payload from holding its memory for ever.
const maxPooledBuffer = 64 << 10

var writers = sync.Pool{New: func() any { return &Writer{buf: make([]byte, 0, 512)} }}

// NewWriter takes a Writer from a pool; [Writer.Finish] or [Writer.Err] gives
// it back. The subject, "payload" or "result", starts every violation's text.
//
//go:noinline
func NewWriter(subject string) *Writer {
	w := writers.Get().(*Writer)
	w.subject = subject
	return w
}

// Finish returns the document, or a [*orchestrator.ValidationError] when there
// were violations. The Writer must not be used afterwards.
func (w *Writer) Finish() ([]byte, error) {
	if err := w.violationError(); err != nil {
		w.release()
		return nil, err
	}
	document := make([]byte, len(w.buf))
	copy(document, w.buf)
	w.release()
	return document, nil
}

// Err is [Writer.Finish] without the document.
func (w *Writer) Err() error {
	err := w.violationError()
	w.release()
	return err
}

func (w *Writer) violationError() error {
	if len(w.violations) == 0 {
		return nil
	}
	if w.unlisted > 0 {
		w.violations = append(w.violations, orchestrator.Violation{Message: strconv.Itoa(w.unlisted) + " more violations"})
	}
	return &orchestrator.ValidationError{Subject: w.subject, Violations: w.violations}
}

func (w *Writer) release() {
	if cap(w.buf) > maxPooledBuffer {
		return
	}
	// The containers' names may be keys of a map in the payload.
	clear(w.outer[:cap(w.outer)])
	*w = Writer{buf: w.buf[:0], outer: w.outer[:0]}
	writers.Put(w)
}

// BeginObject starts an object.
func (w *Writer) BeginObject(name string) { w.begin(name, object, '{') }

// EndObject ends the object begun last.
func (w *Writer) EndObject() { w.end('}') }

// BeginMap starts a map: an object whose keys are data.
func (w *Writer) BeginMap(name string) { w.begin(name, mapping, '{') }

// EndMap ends the map begun last.
func (w *Writer) EndMap() { w.end('}') }

// BeginList starts a list.
func (w *Writer) BeginList(name string) { w.begin(name, list, '[') }

// EndList ends the list begun last.
func (w *Writer) EndList() { w.end(']') }

//go:noinline
func (w *Writer) begin(name string, kind containerKind, bracket byte) {
	w.buf = append(w.key(name), bracket)
	w.outer = append(w.outer, w.top)
	w.top = frame{kind: kind, name: name}
}

//go:noinline
func (w *Writer) end(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.name = w.top.name
	w.top = w.outer[len(w.outer)-1]
	w.outer = w.outer[:len(w.outer)-1]
}

// key appends what stands before a value: a comma, and the name with its colon.
// It returns the buffer for the caller to append to and store, so that a value
// costs one store of w.buf.
func (w *Writer) key(name string) []byte {
	w.name = name
	b := w.buf
	if w.top.len > 0 {
		b = append(b, ',')
	}
	w.top.len++
	switch w.top.kind {
	case object: // a field's name needs no escapes
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, '"', ':')
	case mapping:
		b = append(w.quote(b, name), ':')
	}
	return b
}

// Fail records a violation of the value written last.
func (w *Writer) Fail(message string) { w.failAt(w.pointer(), message) }

// Check records a violation of the value written last unless ok.
func (w *Writer) Check(ok bool, message string) {
	if !ok {
		w.Fail(message)
	}
}

func (w *Writer) failAt(pointer, message string) {
	if len(w.violations) >= maxViolations {
		w.unlisted++
		return
	}
	w.violations = append(w.violations, orchestrator.Violation{Pointer: pointer, Message: message})
}

// pointer is the JSON pointer (RFC 6901) of the value written last.
func (w *Writer) pointer() string {
	var b strings.Builder
	for i, container := range w.outer {
		inner := w.top
		if i+1 < len(w.outer) {
			inner = w.outer[i+1]
		}
		writeStep(&b, container, inner.name)
	}
	writeStep(&b, w.top, w.name)
	return b.String()
}

// writeStep writes one step of a pointer: from container to its value called
// name or, in a list, to the value written last.
func writeStep(b *strings.Builder, container frame, name string) {
	switch container.kind {
	case object:
		b.WriteByte('/')
		b.WriteString(name)
	case list:
		b.WriteByte('/')
		b.WriteString(strconv.Itoa(container.len - 1))
	case mapping:
		b.WriteByte('/')
		_, _ = pointerEscaper.WriteString(b, strings.ToValidUTF8(name, "\uFFFD"))
	}
}

// A NUL could not be stored with the error; it is shown as a replacement character.
var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1", "\x00", "\uFFFD")
