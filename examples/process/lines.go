package process

import (
	"bytes"
	"sync"
)

// longestLine is where a line is cut: a program may write without end.
const longestLine = 16 << 10

// Lines hands a program's output on line by line, as its Stdout or Stderr. Call
// Flush when the program has ended, for a last line that is not terminated.
type Lines struct {
	Each func(line string)

	mu   sync.Mutex // a killed program's output may still be on its way
	rest []byte
}

// Write implements io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found && len(l.rest) < longestLine {
			return len(p), nil
		}
		if len(line) > longestLine {
			line, rest = l.rest[:longestLine], l.rest[longestLine:]
		}
		l.emit(line)
		l.rest = rest
	}
}

// Flush hands on what has no line break after it.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.emit(l.rest)
		l.rest = nil
	}
}

func (l *Lines) emit(line []byte) { l.Each(string(bytes.TrimRight(line, "\r"))) }
