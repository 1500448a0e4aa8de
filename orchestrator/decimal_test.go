package orchestrator_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestDecimalIsCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "-0.00": "0", "000": "0", "1": "1", "01": "1", "1.10": "1.1", "-0.5": "-0.5", "00.50": "0.5",
		"10": "10", "100.000": "100", "-12.50": "-12.5", "99999999999999999999.000000000000000000001": "99999999999999999999.000000000000000000001",
	} {
		d, err := orchestrator.ParseDecimal(in)
		require.NoError(t, err, in)
		require.Equal(t, want, d.String(), in)
		require.Equal(t, orchestrator.MustDecimal(want), d, in)
	}
	for _, bad := range []string{"", "-", "+1", ".5", "1.", "1e3", "1,5", " 1", "1 ", "--1", "0x1", "NaN", "1.2.3"} {
		_, err := orchestrator.ParseDecimal(bad)
		require.Error(t, err, bad)
	}
}

// TestDecimalAgreesWithRat compares with the standard library's fractions.
func TestDecimalAgreesWithRat(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,8})?`)
	rapid.Check(t, func(t *rapid.T) {
		x, y := number.Draw(t, "x"), number.Draw(t, "y")
		a, b := orchestrator.MustDecimal(x), orchestrator.MustDecimal(y)
		p, _ := new(big.Rat).SetString(x)
		q, _ := new(big.Rat).SetString(y)
		require.Zero(t, a.Rat().Cmp(p))
		require.Equal(t, p.Cmp(q), a.Cmp(b))
		require.Equal(t, p.Cmp(q) == 0, a == b)
		require.Equal(t, p.Sign(), a.Sign())
		require.Equal(t, p.Sign() == 0, a.IsZero())

		text, err := json.Marshal(a)
		require.NoError(t, err)
		var back orchestrator.Decimal
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, a, back)
	})
}

func TestNewDecimal(t *testing.T) {
	t.Parallel()
	require.Equal(t, "12.5", orchestrator.NewDecimal(1250, 2).String())
	require.Equal(t, "-0.005", orchestrator.NewDecimal(-5, 3).String())
	require.Equal(t, "500", orchestrator.NewDecimal(5, -2).String())
	require.Equal(t, "-9223372036854775808", orchestrator.NewDecimal(-1<<63, 0).String())
	require.Equal(t, orchestrator.Decimal{}, orchestrator.NewDecimal(0, 5))
}

func TestDecimalInDatabases(t *testing.T) {
	t.Parallel()
	value, err := orchestrator.MustDecimal("1.50").Value()
	require.NoError(t, err)
	require.Equal(t, "1.5", value)
	for _, source := range []any{"7.0", []byte("7"), int64(7)} {
		var d orchestrator.Decimal
		require.NoError(t, d.Scan(source))
		require.Equal(t, "7", d.String())
	}
	var d orchestrator.Decimal
	require.Error(t, d.Scan(1.5), "a float has lost digits already")
}
