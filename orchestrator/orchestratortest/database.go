package orchestratortest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// Main wraps the m of a TestMain so that the shared server is stopped when the
// tests have run:
//
//	func TestMain(m *testing.M) { os.Exit(orchestratortest.Main(m).Run()) }
func Main(m interface{ Run() int }) interface{ Run() int } { return devpg.Main(m) }

// template returns the migrated database that tests get clones of. What the
// first test waits for, a download at worst, is said in its output.
func template(t testing.TB) (*devpg.Template, error) {
	t.Helper()
	server, err := devpg.SharedWith(t.Context(), devpg.Config{Log: t.Output()})
	if err != nil {
		return nil, err
	}
	return server.Template(t.Context(), "orchestrator", migrate)
}

func migrate(ctx context.Context, url string) error {
	client, err := orchestrator.Open(ctx, url)
	if err != nil {
		return err
	}
	_, err = client.Migrator().Up(ctx)
	return errors.Join(err, client.Close())
}

// DB returns the URL of a fresh database with the engine's tables, which is
// dropped when the test ends.
func DB(t testing.TB) (url string) {
	t.Helper()
	tmpl, err := template(t)
	require.NoError(t, err)
	url, drop, err := tmpl.Clone(t.Context())
	require.NoError(t, err)
	t.Cleanup(drop)
	return url
}

// Client returns a client of a fresh database ([DB]), closed when the test
// ends.
func Client(t testing.TB, config ...orchestrator.ClientConfig) *orchestrator.Client {
	t.Helper()
	client, err := orchestrator.Open(t.Context(), DB(t), config...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}
