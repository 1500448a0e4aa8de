package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A worker that starts writes what differs from what is stored, and no more: most
// start as those before them.
func TestPoliciesAreWrittenWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	declared := []Contract{
		{Type: "plain", Queue: "q", PayloadSchema: `{}`, Policy: `{"retry": 1}`, Retention: time.Hour},
		{Type: "result", Queue: "q", PayloadSchema: `{"type": "object"}`, ResultSchema: `{"type": "string"}`, Policy: `{}`, Retention: time.Hour},
		{Type: "told", Queue: "q", PayloadSchema: `{}`, Policy: `{}`, Retention: time.Hour, Webhook: "https://example.com", WebhookStates: []int16{4, 7}},
	}
	for i := range declared {
		declared[i].Fingerprint = "v1"
		id, err := s.ContractID(t.Context(), declared[i])
		require.NoError(t, err)
		declared[i].ID = id
	}
	declared[2].WebhookContract = declared[0].ID
	const (
		versions = `SELECT string_agg(xmin::text, ' ' ORDER BY id) FROM orchestrator.task_contracts`
		stored   = `
			SELECT array_agg(format('%s, %s, %s, %s, %s, %s, %s, %s, %s', queue, priority, policy, payload_schema, coalesce(result_schema::text, 'none'), retention,
				coalesce(webhook, 'none'), coalesce(webhook_states::text, 'none'), CASE WHEN webhook_contract IS NULL THEN 'none' ELSE 'first' END) ORDER BY id)
			FROM orchestrator.task_contracts`
	)
	require.NoError(t, s.UpdatePolicies(t.Context(), declared))
	before := queried[string](t, s, versions)
	require.NoError(t, s.UpdatePolicies(t.Context(), declared))
	require.Equal(t, before, queried[string](t, s, versions), "nothing differs")

	changed := declared[1]
	changed.Queue, changed.Priority, changed.Policy, changed.PayloadSchema, changed.ResultSchema, changed.Retention = "r", 7, `{"retry": 2}`, `{"title": "T"}`, "", time.Minute
	changed.Webhook, changed.WebhookStates, changed.WebhookContract = "https://example.org", []int16{5}, declared[0].ID
	require.NoError(t, s.UpdatePolicies(t.Context(), []Contract{declared[0], changed, declared[2]}))
	require.Equal(t, []string{
		`q, 0, {"retry": 1}, {}, none, 01:00:00, none, none, none`,
		`r, 7, {"retry": 2}, {"title": "T"}, none, 00:01:00, https://example.org, {5}, first`,
		`q, 0, {}, {}, none, 01:00:00, https://example.com, {4,7}, first`,
	}, queried[[]string](t, s, stored))
	require.NoError(t, s.UpdatePolicies(t.Context(), declared))
	require.Equal(t, `q, 0, {}, {"type": "object"}, {"type": "string"}, 01:00:00, none, none, none`, queried[[]string](t, s, stored)[1])
}
