package devpg

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// Environment variables that give tests a server instead of starting one, the
// first that is set. The value "none" asks for a private server even so.
const (
	EnvTestURL = "ORCHESTRATOR_TEST_DATABASE_URL"
	EnvURL     = "DATABASE_URL"
)

// shared is the process's one server for tests.
var shared struct {
	sync.Mutex
	server *Server
	err    error // why there is none; final, so that a hundred tests do not each try again
}

// Shared returns the process's server for tests, started by the first call:
// the one that ORCHESTRATOR_TEST_DATABASE_URL or DATABASE_URL names, else an
// ephemeral one. Nothing but databases named devpg_* is created, changed or
// dropped on a server given by URL.
//
// ctx bounds this call's wait; a start that was cut short is tried again by
// the next. Any other failure is final for the process. Call StopShared at the
// end, or let Main do it.
func Shared(ctx context.Context) (*Server, error) { return SharedWith(ctx, Config{}) }

// SharedWith is Shared with a configuration, which counts only when this call
// is the one that starts the server. It is for tests that want its Log.
func SharedWith(ctx context.Context, cfg Config) (*Server, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil || shared.err != nil {
		return shared.server, shared.err
	}
	var s *Server
	var err error
	if name, url := testURL(); url != "" {
		if s, err = Connect(ctx, url); err != nil {
			err = fmt.Errorf("%w (from %s; set %s=none to start a private server instead)", err, name, EnvTestURL)
		}
	} else {
		s, err = Start(ctx, cfg)
	}
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	shared.server, shared.err = s, err
	return s, err
}

// testURL returns the URL tests were given and the variable it came from.
func testURL() (name, url string) {
	for _, name := range []string{EnvTestURL, EnvURL} {
		switch url := os.Getenv(name); url {
		case "":
		case "none":
			return name, ""
		default:
			return name, url
		}
	}
	return "", ""
}

// StopShared stops the server that Shared started. Without one it does
// nothing. A later Shared starts a new one.
func StopShared() error {
	shared.Lock()
	defer shared.Unlock()
	s := shared.server
	shared.server, shared.err = nil, nil
	return s.Stop()
}

// Main wraps a package's tests so that the shared server is stopped after the
// last of them and before goleak looks:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(devpg.Main(m)) }
//
// Without goleak: os.Exit(devpg.Main(m).Run()). A server that cannot be stopped
// fails the tests, with the reason on standard error.
func Main(m interface{ Run() int }) interface{ Run() int } { return mainRunner{m} }

type mainRunner struct{ m interface{ Run() int } }

func (r mainRunner) Run() int {
	code := r.m.Run()
	if err := StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// Connect returns a Server over one that runs already and is not ours. Stop
// drops the databases made through it and leaves it running; Halt and Resume
// return ErrNotOurs. The URL's user needs the right to create databases, and
// the connection has to be direct or through a pooler in session mode.
func Connect(ctx context.Context, url string) (*Server, error) {
	s, err := open(ctx, Config{}, externalServer(url))
	if err != nil {
		return nil, fmt.Errorf("devpg: use the given server: %w", err)
	}
	return s, nil
}

// externalServer is the URL of a server that somebody else runs.
type externalServer string

func (e externalServer) start(context.Context) error { return nil }
func (e externalServer) halt(Shutdown) error         { return ErrNotOurs }
func (e externalServer) close() error                { return nil }
func (e externalServer) describe() description       { return description{url: string(e), attached: true} }
