package harness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long anything is waited for before a test fails. It is far
// more than anything takes on a machine that is busy with other tests.
const Patience = 2 * time.Minute

// Await returns when reached is true. It fails the test after [Patience].
func Await(t testing.TB, what string, reached func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-deadline.C:
			require.FailNow(t, "waited in vain: "+what)
		case <-tick.C:
		}
	}
}

// Receive returns the next value of c. It fails the test after [Patience].
func Receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	select {
	case v, open := <-c:
		if !open {
			require.FailNow(t, "closed: "+what)
		}
		return v
	case <-deadline.C:
		require.FailNow(t, "waited in vain: "+what)
		panic("not reached")
	}
}
