package devpg_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// The tests of the shared server are not parallel: they replace it.

func TestSharedUsesTheServerItIsGiven(t *testing.T) {
	given := start(t, devpg.Config{}.InScratch(place(t)))
	require.NoError(t, devpg.StopShared())
	for _, env := range []string{devpg.EnvTestURL, devpg.EnvURL} {
		t.Run(env, func(t *testing.T) {
			t.Setenv(devpg.EnvTestURL, "")
			t.Setenv(devpg.EnvURL, "")
			t.Setenv(env, given.URL())
			s, err := devpg.Shared(t.Context())
			require.NoError(t, err)
			require.Equal(t, given.URL(), s.URL())
			again, err := devpg.Shared(t.Context())
			require.NoError(t, err)
			require.Same(t, s, again)
			require.NoError(t, devpg.StopShared())
			require.NoError(t, devpg.StopShared())
		})
	}
	require.Equal(t, 1, query1[int](t, given.URL(), "SELECT 1"))
}

func TestConnectTakesURLsAlone(t *testing.T) {
	t.Parallel()
	_, err := devpg.Connect(t.Context(), "host=127.0.0.1 password=secret")
	require.ErrorContains(t, err, "begins with postgres://")
	require.NotContains(t, err.Error(), "secret")
	_, err = devpg.Connect(t.Context(), "postgres://user:secret@[broken/")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestACloneOfAServerGivenWithADatabaseParameter(t *testing.T) {
	t.Parallel()
	s, err := devpg.Connect(t.Context(), shared(t).URL()+"&dbname=postgres")
	require.NoError(t, err)
	tmpl, err := s.Template(t.Context(), "parameter", createT)
	require.NoError(t, err)
	db, drop, err := tmpl.Clone(t.Context())
	require.NoError(t, err)
	require.Equal(t, 42, query1[int](t, db, "SELECT n FROM t"))
	drop()
	require.NoError(t, s.Stop())
}

func TestSharedFailureNamesTheVariableAndIsFinal(t *testing.T) {
	require.NoError(t, devpg.StopShared())
	t.Setenv(devpg.EnvTestURL, "")
	t.Setenv(devpg.EnvURL, "postgres://someone:secret@127.0.0.1:1/nowhere?sslmode=disable")
	_, err := devpg.Shared(t.Context())
	require.ErrorContains(t, err, "from DATABASE_URL")
	require.NotContains(t, err.Error(), "secret")
	_, again := devpg.Shared(t.Context())
	require.Equal(t, err, again)
	require.NoError(t, devpg.StopShared())

	t.Setenv(devpg.EnvTestURL, "none")
	s, err := devpg.Shared(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, s.DataDir())
	require.NoError(t, devpg.StopShared())
}
