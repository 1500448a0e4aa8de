package measure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ordinary is a server on a disk of its own in the next rack.
func ordinary() *Report {
	return &Report{
		Server: Server{Settings: map[string]string{"fsync": "on", "synchronous_commit": "on"}, RoundTrip: Latency{P50: 0.21}},
		Commit: Commit{Latency: Latency{P50: 4, P99: 9}},
		Enqueue: []Enqueue{
			{Goroutines: 1, Rate: 231, Latency: Latency{P50: 4.2}},
			{Goroutines: 64, Rate: 12_417, Latency: Latency{P50: 4.9}},
			{Goroutines: 256, Rate: 11_000, Latency: Latency{P50: 21}},
		},
		Bulk:   Bulk{Batch: 1000, Rate: 48_123},
		Drain:  Drain{Slots: 100, Rate: 21_780},
		Pickup: Pickup{Rate: 200, Latency: Latency{P50: 6.5, P99: 12.4}},
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"A commit takes 4.0 ms here, 0.21 ms of it the way to the server and back. That bounds one goroutine which enqueues one task after the other" +
			" to about 250 a second; it reaches 231. Goroutines that enqueue at the same time share commits: 64 of them reach 12,400 a second, and each call takes 4.9 ms.",
		"1,000 tasks in one call: 48,100 tasks a second. Where there are many tasks at hand, enqueue them together.",
		"One worker with 100 slots works 21,800 tasks a second that do nothing: no handler makes it more. Handlers that take 10 ms each are bounded by the slots, too:" +
			" 100 of them allow 10,000 a second.",
		"At 200 tasks a second a handler starts 6.5 ms after the enqueue was called, the commit included; one in a hundred waits for more than 12 ms." +
			" The worker was told of the tasks as it is of another process's.",
	}, ordinary().read())
}

func TestReadingOfWhatIsUnusual(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Report){
		"fsync is off: ":                    func(r *Report) { r.Server.Settings["fsync"] = "off" },
		"synchronous_commit is off: ":       func(r *Report) { r.Server.Settings["synchronous_commit"] = "off" },
		"Commits wait for standbys (synch":  func(r *Report) { r.Server.Settings["synchronous_standby_names"] = "*" },
		"Most of a commit is the way to th": func(r *Report) { r.Server.RoundTrip.P50 = 3 },
		"One commit in a hundred takes mor": func(r *Report) { r.Commit.P99 = 40 },
	} {
		report := ordinary()
		change(report)
		said := report.read()
		require.Len(t, said, len(ordinary().read())+1)
		require.Condition(t, func() bool {
			for _, text := range said {
				if len(text) > len(want) && text[:len(want)] == want {
					return true
				}
			}
			return false
		}, want)
	}
	polled := ordinary()
	polled.Server.Pooler = true
	require.Contains(t, polled.read()[3], "The worker polled")
}

func TestFigures(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0: "0", 7.4: "7", 231: "231", 999.6: "1,000", 1234: "1,230", 12_417: "12,400", 1_234_567: "1,230,000"} {
		require.Equal(t, want, Count(n))
	}
	for ms, want := range map[float64]string{0.2149: "0.21 ms", 4.05: "4.0 ms", 38.4: "38 ms", 1249: "1.2 s"} {
		require.Equal(t, want, Millis(ms))
	}
}

func TestLatencyIsTheNearestRank(t *testing.T) {
	t.Parallel()
	require.Equal(t, Latency{P50: 5, P99: 5, Samples: 1}, latencyOf([]time.Duration{5 * time.Millisecond}))
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	require.Equal(t, Latency{P50: 50, P99: 99, Samples: 100}, latencyOf(hundred))
}
