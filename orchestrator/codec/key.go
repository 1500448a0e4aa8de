package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Key makes one text of the fields that name an idempotency key, a group or a
// limit: a JSON array such as [42,"welcome"], which is readable in the
// database and never the same for different values. Stored keys are compared
// with new ones across deploys, so the text of a value must never change.
//
// A time is written in UTC, so that a moment has one key in all zones. Strings
// must be valid UTF-8, which the encoder of the payload checks before.
func Key(values ...any) string {
	w := NewWriter("")
	w.BeginList(Item)
	for _, value := range values {
		switch v := value.(type) {
		case string:
			w.String(Item, v)
		case bool:
			w.Bool(Item, v)
		case int:
			w.Int(Item, v)
		case int64:
			w.Int64(Item, v)
		case float64:
			w.Float64(Item, v+0) // -0 is 0
		case orchestrator.Decimal:
			w.Decimal(Item, v)
		case orchestrator.UUID:
			w.AnyUUID(Item, v)
		case time.Time:
			w.AnyTime(Item, v.UTC())
		case orchestrator.Date:
			w.AnyDate(Item, v)
		case orchestrator.Duration:
			w.Duration(Item, v)
		case []byte:
			w.Bytes(Item, v)
		default:
			panic(fmt.Sprintf("codec: a key cannot hold a %T", value))
		}
	}
	w.EndList()
	key := string(w.buf)
	w.release()
	return key
}

// Digest stands for a sensitive string in a [Key], which is stored in the clear.
func Digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:16])
}
