package orchestrator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

const secret = "hunter2"

func TestSensitiveNeverShows(t *testing.T) {
	t.Parallel()
	type payload struct {
		Token  orchestrator.Sensitive[string]
		hidden orchestrator.Sensitive[string]
		List   []orchestrator.Sensitive[[]string]
	}
	s := orchestrator.NewSensitive(secret)
	p := payload{s, s, []orchestrator.Sensitive[[]string]{orchestrator.NewSensitive([]string{secret})}}
	for _, value := range []any{s, &s, p, &p, []any{p}, map[string]any{"p": p}, fmt.Errorf("handler: %v", p)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			require.NotContains(t, fmt.Sprintf(verb, value), secret, verb)
			require.NotContains(t, fmt.Sprintf(verb, value), fmt.Sprintf("%x", secret), verb)
		}
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.NotContains(t, string(text), secret)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
			slog.New(handler).Info("run", "value", value)
		}
		require.NotContains(t, log.String(), secret)
	}
	require.Equal(t, secret, s.Reveal())
	require.Equal(t, "[redacted]", fmt.Sprint(s))
}

func TestSensitiveDecodes(t *testing.T) {
	t.Parallel()
	var p struct {
		Token  orchestrator.Sensitive[string]  `json:"token"`
		Absent orchestrator.Sensitive[int]     `json:"absent"`
		Maybe  orchestrator.Sensitive[*string] `json:"maybe"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"token": "hunter2", "maybe": null}`), &p))
	require.Equal(t, secret, p.Token.Reveal())
	require.Equal(t, orchestrator.NewSensitive(secret), p.Token)
	require.Zero(t, p.Absent.Reveal())
	require.Nil(t, p.Maybe.Reveal())

	err := json.Unmarshal([]byte(`{"token": 4111111111111111}`), &p)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "4111")
}

func TestSensitiveZeroIsOne(t *testing.T) {
	t.Parallel()
	require.Equal(t, orchestrator.Sensitive[string]{}, orchestrator.NewSensitive(""))
	require.Equal(t, orchestrator.Sensitive[*int]{}, orchestrator.NewSensitive[*int](nil))
}
