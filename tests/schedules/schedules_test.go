package schedules

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netresearch/go-cron"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

var expressions = []string{
	"* * * * *", "*/5 * * * *", "0 3 * * *", "0,30 8-18 * * MON-FRI", "59 23 31 12 *", "0 0 29 2 *", "0 0 29 2 1", "30 2 * * SUN",
	"0 0 1-7 * MON", "0 0 13 * FRI", "0 0 25-31 * 5", "15 10 ? * 7", "0 12 */2 JAN,jul *", "0 22-2 * * *", "0 0 31 * *", "0/15 * * * *",
	"0 0 * * 5-1", "  0   3  * * * ", "0\t3 * * *",
	"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@every 90m", "@every 1s", "@every 36h",
	// Not expressions.
	"", " ", "* * * *", "* * * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * * 8", "a b c d e",
	"0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 L * *", "0 0 15W * *", "0 0 * * FRI#3", "H * * * *", "*/0 * * * *", "0-60 * * * *", "5-1-3 * * * *",
	"@dayly", "@reboot", "@every", "@every 0s", "@every -1h", "@every 100ms", "@every x", "@DAILY", "TZ=UTC 0 3 * * *", "CRON_TZ=UTC 0 3 * * *",
	"0 3 * * * TZ=UTC", "@daily TZ=UTC", strings.Repeat("0,", 2000) + "0 3 * * *",
}

var zones = []string{"UTC", "Europe/Lisbon", "America/New_York", "Etc/GMT+5", "EST5EDT", "", "Local", "Europe/Lisboa", "../zone", "/etc/localtime", "a b"}

// generates tells whether the generator takes a schedule.
func generates(t *testing.T, expression, zone string) error {
	t.Helper()
	const text = "version: 1\npackage: tasks\ntasks: {a:b: {}}\nschedules: {s: {task: \"a:b\", cron: %q, timezone: %q}}\n"
	_, list := model.Load(fstest.MapFS{"tasks.yaml": {Data: fmt.Appendf(nil, text, expression, zone)}}, "tasks.yaml")
	return list.Err()
}

// What the generator takes, a worker takes, and the other way round.
func TestGeneratorAndEngineTakeTheSame(t *testing.T) {
	t.Parallel()
	taken := 0
	for _, expression := range expressions {
		for _, zone := range zones {
			if expression != "0 3 * * *" && zone != "UTC" && zone != "America/New_York" {
				continue // they have nothing to do with each other
			}
			if zone == "" {
				continue // a schedule in Go need not say UTC
			}
			_, err := orchestrator.Schedule{Name: "s", Cron: expression, Timezone: zone}.Next(time.Now())
			require.Equal(t, generates(t, expression, zone) == nil, err == nil, "%q in %q: %v, %v", expression, zone, generates(t, expression, zone), err)
			if err == nil {
				taken++
			}
		}
	}
	require.Greater(t, taken, 50)
}

// Where no clock jumps, due times are those of the library by which the
// generator finds out that a date never comes.
func TestDueTimesAreTheLibrarysWhereNoClockJumps(t *testing.T) {
	t.Parallel()
	parser := cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).WithMaxSearchYears(40)
	compared := 0
	for _, zone := range []string{"UTC", "Asia/Kolkata", "Etc/GMT+12"} {
		location, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, expression := range expressions {
			if strings.HasPrefix(expression, "@every") || generates(t, expression, zone) != nil {
				continue // the library counts @every from whenever it is asked
			}
			want, err := parser.Parse(expression)
			require.NoError(t, err)
			at := time.Date(2026, time.November, 21, 17, 42, 31, 7, location)
			for range 50 {
				next, err := orchestrator.Schedule{Name: "s", Cron: expression, Timezone: zone}.Next(at)
				require.NoError(t, err)
				require.Equal(t, want.Next(at).UTC(), next, "%q in %s after %s", expression, zone, at)
				at = next.In(location)
				compared++
			}
		}
	}
	require.Greater(t, compared, 1000)
}
