package canonical

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Key makes one text of the values that name an idempotency key, a group or a
// limit: a JSON array such as [42,"welcome"]. Besides Go's scalars it takes
// types whose String is canonical and needs no escapes, such as a decimal.
//
// A time is written in UTC, so that a moment has one key in all zones. Strings
// must be valid UTF-8.
func Key(values ...any) string {
	key := []byte{'['}
	for i, value := range values {
		if i > 0 {
			key = append(key, ',')
		}
		key = appendValue(key, value)
	}
	return string(append(key, ']'))
}

func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return AppendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return AppendFloat(b, v+0) // -0 is 0
	case uuid.UUID:
		b = AppendUUID(append(b, '"'), v)
		return append(b, '"')
	case time.Time:
		b = v.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano)
		return append(b, '"')
	case []byte:
		b = base64.StdEncoding.AppendEncode(append(b, '"'), v)
		return append(b, '"')
	case fmt.Stringer:
		b = append(append(b, '"'), v.String()...)
		return append(b, '"')
	}
	panic(fmt.Sprintf("orchestrator: a key cannot hold a %T", value))
}
