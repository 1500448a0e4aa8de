package spec

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxDuration bounds what the spec can say, well inside what time.Duration and
// PostgreSQL's interval hold.
const maxDuration = 36500 * day

var durationText = regexp.MustCompile(`^(?:(\d+)d)?((?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))*)$`)

// ParseDuration reads the spec's durations: Go's, with days of 24 hours in
// front (7d, 1d12h, 1m30s). They are not negative.
func ParseDuration(text string) (time.Duration, error) {
	match := durationText.FindStringSubmatch(text)
	if match == nil || text == "" {
		return 0, errors.New("not a duration such as 30s, 5m, 1h30m or 7d")
	}
	var total time.Duration
	if match[1] != "" {
		days, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil || days > int64(maxDuration/day) {
			return 0, fmt.Errorf("longer than %s", FormatDuration(maxDuration))
		}
		total = time.Duration(days) * day
	}
	if match[2] != "" {
		rest, err := time.ParseDuration(match[2])
		if err != nil || rest > math.MaxInt64-total {
			return 0, fmt.Errorf("longer than %s", FormatDuration(maxDuration))
		}
		total += rest
	}
	if total > maxDuration {
		return 0, fmt.Errorf("longer than %s", FormatDuration(maxDuration))
	}
	return total, nil
}

// FormatDuration writes a duration as the spec would: 1d12h, 30s, 1m30s.
// ParseDuration reads it back.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if days := d / day; days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		d %= day
	}
	if hours := d / time.Hour; hours > 0 {
		fmt.Fprintf(&b, "%dh", hours)
		d %= time.Hour
	}
	if minutes := d / time.Minute; minutes > 0 {
		fmt.Fprintf(&b, "%dm", minutes)
		d %= time.Minute
	}
	if d > 0 {
		b.WriteString(d.String()) // below a minute Go writes one unit
	}
	return b.String()
}

var (
	bareNumber  = regexp.MustCompile(`^\d+(\.\d+)?$`)
	clockTime   = regexp.MustCompile(`^(\d+):(\d{1,2})(?::(\d{1,2}))?$`)
	spelledUnit = regexp.MustCompile(`^(\d+) *(d|h|m|s|ms|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|weeks?|w)$`)
)

// durationHint suggests what may have been meant by text that is no duration.
func durationHint(text string) string {
	if durationText.MatchString(text) {
		return "" // well written, and too long
	}
	if bareNumber.MatchString(text) {
		return fmt.Sprintf("write the unit: %ss, %sm or %sh", text, text, text)
	}
	if match := clockTime.FindStringSubmatch(text); match != nil {
		if match[3] != "" {
			return fmt.Sprintf("write %sh%sm%ss", match[1], trimZero(match[2]), trimZero(match[3]))
		}
		return fmt.Sprintf("write %sm%ss or %sh%sm", match[1], trimZero(match[2]), match[1], trimZero(match[2]))
	}
	if match := spelledUnit.FindStringSubmatch(strings.ToLower(text)); match != nil {
		if strings.HasPrefix(match[2], "w") {
			weeks, err := strconv.Atoi(match[1])
			if err == nil && weeks < 1000 {
				return fmt.Sprintf("write %dd", 7*weeks)
			}
			return ""
		}
		unit := match[2][:1]
		if match[2] == "ms" {
			unit = "ms"
		}
		return "write " + match[1] + unit
	}
	return ""
}

func trimZero(digits string) string {
	if trimmed := strings.TrimLeft(digits, "0"); trimmed != "" {
		return trimmed
	}
	return "0"
}

var rateText = regexp.MustCompile(`^(\d+)/(s|m|h|d)$`)

// parseRate reads 100/s, 10/m, 5/h or 1000/d.
func parseRate(text string) (Rate, bool) {
	match := rateText.FindStringSubmatch(text)
	if match == nil {
		return Rate{}, false
	}
	count, err := strconv.Atoi(match[1])
	if err != nil || count < 1 || count > maxRate {
		return Rate{}, false
	}
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}
	return Rate{Count: count, Per: per[match[2]]}, true
}

const maxRate = 1_000_000

// String writes the rate as the spec would.
func (r Rate) String() string {
	switch r.Per {
	case time.Second:
		return fmt.Sprintf("%d/s", r.Count)
	case time.Minute:
		return fmt.Sprintf("%d/m", r.Count)
	case time.Hour:
		return fmt.Sprintf("%d/h", r.Count)
	case day:
		return fmt.Sprintf("%d/d", r.Count)
	default:
		return "none"
	}
}
