package orchestrator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWorkerConfigFromEnvironment(t *testing.T) {
	t.Parallel()
	got, err := workerConfigFrom(map[string]string{
		"WORKER_QUEUES": "email,index", "WORKER_POOL_SIZE": "7", "CLAIM_INTERVAL": "250ms", "HEARTBEAT_INTERVAL": "2s",
		"WORKER_TIMEOUT": "9s", "LEADER_TERM": "3s", "CLEANUP_INTERVAL": "4m", "SHUTDOWN_TIMEOUT": "1m30s", "CLAIM_POLL_ONLY": "true",
	})
	require.NoError(t, err)
	require.Equal(t, WorkerConfig{
		Queues: []string{"email", "index"}, PoolSize: 7, ClaimInterval: 250 * time.Millisecond, HeartbeatInterval: 2 * time.Second,
		WorkerTimeout: 9 * time.Second, LeaderTerm: 3 * time.Second, CleanupInterval: 4 * time.Minute,
		ShutdownTimeout: 90 * time.Second, PollOnly: true,
	}, got)
}

func TestRetentionOfDeadLetters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, " none ": -1} {
		got, err := workerConfigFrom(map[string]string{"DEAD_RETENTION": text})
		require.NoError(t, err)
		require.Equal(t, want, got.DeadRetention, text)
	}
}

func TestEmptyEnvironmentIsTheZeroConfig(t *testing.T) {
	t.Parallel()
	got, err := workerConfigFrom(map[string]string{"WORKER_POOL_SIZE": "", "CLAIM_INTERVAL": " "})
	require.NoError(t, err)
	require.Equal(t, WorkerConfig{}, got)
	full, err := got.withDefaults()
	require.NoError(t, err)
	require.Equal(t, WorkerConfig{
		ClaimInterval: time.Second, HeartbeatInterval: 10 * time.Second, WorkerTimeout: 30 * time.Second,
		LeaderTerm: 30 * time.Second, CleanupInterval: time.Minute, DeadRetention: 90 * 24 * time.Hour, ShutdownTimeout: 30 * time.Second,
	}, full)
}

func TestBadWorkerVariablesAreNamed(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		environ map[string]string
		want    string
	}{
		{map[string]string{"WORKER_POOL_SIZE": "many"}, "orchestrator: WORKER_POOL_SIZE=many: want a whole number"},
		{map[string]string{"WORKER_POOL_SIZE": "-1"}, "orchestrator: WORKER_POOL_SIZE=-1: want 1 or more, or nothing for the sum over the queues"},
		{map[string]string{"CLAIM_INTERVAL": "10"}, "orchestrator: CLAIM_INTERVAL=10: want a duration such as 500ms, 10s, 2m or 7d"},
		{map[string]string{"CLAIM_INTERVAL": "-1s"}, "orchestrator: CLAIM_INTERVAL=-1s: want at least 1ms"},
		{map[string]string{"DEAD_RETENTION": "1dx"}, "orchestrator: DEAD_RETENTION=1dx: want a duration such as 500ms, 10s, 2m or 7d"},
		{map[string]string{"DEAD_RETENTION": "5s"}, "orchestrator: DEAD_RETENTION=5s: want at least 1m, or none to keep dead letters for ever"},
		{map[string]string{"CLAIM_POLL_ONLY": "perhaps"}, "orchestrator: CLAIM_POLL_ONLY=perhaps: want true or false"},
		{map[string]string{"WORKER_TIMEOUT": "15s"}, "orchestrator: WORKER_TIMEOUT=15s: want at least twice HEARTBEAT_INTERVAL=10s, so that one late heartbeat loses no lease"},
	} {
		_, err := workerConfigFrom(one.environ)
		require.EqualError(t, err, one.want)
	}
	_, err := workerConfigFrom(map[string]string{"WORKER_POOL_SIZE": "many", "LEADER_TERM": "soon"})
	require.ErrorContains(t, err, "WORKER_POOL_SIZE=many")
	require.ErrorContains(t, err, "LEADER_TERM=soon") // all of them at once
}

func TestClientConfigFromEnvironment(t *testing.T) {
	t.Parallel()
	got, err := clientConfigFrom(map[string]string{
		"ORCHESTRATOR_SCHEMA": "jobs", "DATABASE_POOLER": "transaction", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
	})
	require.NoError(t, err)
	require.Equal(t, "jobs", got.Schema)
	require.True(t, got.TransactionPooler)
	require.True(t, got.Logger.Enabled(t.Context(), -4))

	for want, environ := range map[string]map[string]string{
		`schema name "Jobs"`:         {"ORCHESTRATOR_SCHEMA": "Jobs"},
		"DATABASE_POOLER=session":    {"DATABASE_POOLER": "session"},
		"LOG_LEVEL=loud: want debug": {"LOG_LEVEL": "loud"},
		"LOG_FORMAT=xml: want text":  {"LOG_FORMAT": "xml"},
	} {
		_, err := clientConfigFrom(environ)
		require.ErrorContains(t, err, want)
	}
}
