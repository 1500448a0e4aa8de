package codec

import "github.com/task-orchestrator/task-orchestrator/orchestrator/internal/canonical"

// Key makes one text of the fields that name an idempotency key, a group or a
// limit: a JSON array such as [42,"welcome"], which is readable in the
// database and never the same for different values. Stored keys are compared
// with new ones across deploys, so the text of a value must never change.
//
// A time is written in UTC, so that a moment has one key in all zones. Strings
// must be valid UTF-8, which the encoder of the payload checks before.
//
//go:noinline
func Key(values ...any) string {
	return canonical.Key(values...)
}
