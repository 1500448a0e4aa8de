package devpg

import "errors"

func newPersistent(cfg *Config, acct account, cache string, bin Binaries) (*ephemeralServer, error) {
	return nil, errors.New("devpg: not yet")
}
