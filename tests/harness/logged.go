package harness

import (
	"context"
	"log/slog"
	"sync"
)

// Logged is a logger's handler that counts messages and drops them.
type Logged struct {
	mu    sync.Mutex
	count map[string]int
}

// Count is how often a message was logged so far.
func (l *Logged) Count(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[message]
}

// Enabled implements [slog.Handler].
func (l *Logged) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (l *Logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.count[r.Message]++
	return nil
}

// WithAttrs implements [slog.Handler].
func (l *Logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements [slog.Handler].
func (l *Logged) WithGroup(string) slog.Handler { return l }
