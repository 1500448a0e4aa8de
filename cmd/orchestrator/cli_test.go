package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"bogus":                             `unknown command "bogus" for "orchestrator"`,
		"tasks bogus":                       `unknown command "bogus" for "orchestrator tasks"`,
		"tasks show":                        "missing ID",
		"tasks show x":                      "\"x\" is not a task id: want a number, as `orchestrator tasks list` prints it",
		"tasks show -1":                     "unknown shorthand flag: '1' in -1",
		"tasks list --state happy":          `invalid argument "happy" for "--state" flag: no state "happy": want ready, scheduled, retrying, blocked, throttled, running, succeeded, dead, cancelled, expired`,
		"enqueue":                           "missing TYPE",
		"enqueue a b":                       `unexpected argument "b"`,
		"enqueue a --delay soon":            `invalid argument "soon" for "--delay" flag: want a duration such as 90s, 2h or 1d12h`,
		"dead redrive":                      "which dead letters? Give ids, or --type, --queue, --code or --since, or --all",
		"dead purge --all --code x":         "--all goes with no other choice",
		"dead purge one":                    "\"one\" is not a task id: want a number, as `orchestrator tasks list` prints it",
		"generate --format yaml":            `invalid argument "yaml" for "--format" flag: want text or json`,
		"dev go run .":                      "put -- before the command: orchestrator dev -- go run .",
		"tasks cancel":                      "which tasks? Give ids, or --type, --queue, --code, --state or --since, or --all",
		"tasks cancel 1 --all":              "give ids, or choose tasks by flags, not both",
		"tasks cancel --state dead":         "tasks that are dead cannot be cancelled: want ready, scheduled, retrying, blocked, throttled, running",
		"queues pause":                      "missing QUEUE",
		"queues set mail":                   "set what? Give --per-worker or --total, of 1 or more",
		"types resume":                      "missing TYPE",
		"policy set a:b":                    "set what? Give settings such as timeout=2m",
		"policy set a:b timeout=2m":         "for how long? Give --for, such as --for 2h",
		"policy set a:b timeout=2 --for 2h": "policy setting timeout=2: want a duration such as 30s, 5m or 1d12h, or none",
		"status now":                        `unexpected argument "now"`,
		"bench now":                         `unexpected argument "now"`,
		"bench --duration 10ms":             "duration 10ms: want at least 1s",
	} {
		got := terminal{}.run(t, fields(args)...)
		require.Equal(t, exitUsage, got.status, args)
		require.Empty(t, got.stdout, args)
		require.Contains(t, got.stderr, "orchestrator: "+want+"\nRun 'orchestrator", args)
	}
}

func TestCommandsWithoutADatabase(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"status", "tasks list", "dead list", "enqueue a:b", "migrate up", "migrate status", "bench"} {
		got := terminal{}.run(t, fields(args)...)
		require.Equal(t, exitFailure, got.status)
		require.Empty(t, got.stdout)
		require.Equal(t, "orchestrator: no database: set DATABASE_URL, or put `orchestrator dev --` before the command to use this project's private PostgreSQL\n", got.stderr)
	}
	got := terminal{environ: []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}}.run(t, "status")
	require.Equal(t, exitFailure, got.status)
	require.Contains(t, got.stderr, "connect to database")
	got = terminal{environ: []string{"DATABASE_URL=postgres://x", "DATABASE_POOLER=session"}}.run(t, "status")
	require.Contains(t, got.stderr, "DATABASE_POOLER=session: want transaction, or nothing")
	got = terminal{environ: []string{"DATABASE_URL=postgres://x", "ORCHESTRATOR_SCHEMA=No-Good"}}.run(t, "status")
	require.Contains(t, got.stderr, `schema name "No-Good"`)
}

func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "init", "generate", "validate", "explain", "dev", "migrate", "migrate up", "migrate down", "migrate status",
		"migrate sql", "enqueue", "status", "tasks", "tasks list", "tasks show", "tasks cancel", "queues", "queues list", "queues pause", "queues resume", "queues set",
		"queues reset", "types", "types list", "types pause", "types resume", "policy", "policy set", "policy list", "policy clear", "bench", "dead", "dead list", "dead redrive", "dead purge", "version"} {
		require.Contains(t, terminal{}.good(t, append(fields(args), "--help")...), "Usage:\n  orchestrator", args)
	}
	require.Contains(t, terminal{}.good(t), "Look and mend:")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^orchestrator \S+ \(go1\S+, \w+/\w+\)\n$`, terminal{}.good(t, "version"))
	require.Regexp(t, `^{"version":".*","go":"go1.*","platform":".*"}\n$`, terminal{}.good(t, "version", "--json"))
}

func TestDelays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1h30m": 90 * time.Minute,
	} {
		var d delay
		require.NoError(t, d.Set(text))
		require.Equal(t, want, time.Duration(d), text)
	}
	for _, text := range []string{"", "5", "-1s", "d", "1.5d", "1d-1s", "1dd", "99999999d"} {
		require.Error(t, new(delay).Set(text), text)
	}
}

func TestAges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "0s ago", 999 * time.Millisecond: "0s ago", 61 * time.Second: "1m ago", 47 * time.Hour: "47h ago", 49 * time.Hour: "2d ago", -90 * time.Minute: "in 1h",
	} {
		require.Equal(t, want, age(now, now.Add(-ago)))
	}
	require.Equal(t, "-", age(now, time.Time{}))
	require.Equal(t, "a b�…", oneLine("a \n\tb\x1bcd", 5))
}
