package report

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumber(t *testing.T) {
	t.Parallel()
	for value, text := range map[float64]string{
		0: "0", .01234: "0.0123", 1.5: "1.5", 12.34: "12.3", 123.4: "123", 1234: "1,234", -1234567: "-1,234,567", 100: "100",
	} {
		require.Equal(t, text, number(value))
	}
}
