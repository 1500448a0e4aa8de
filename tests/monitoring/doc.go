// Package monitoring has no code: its tests run a worker, a Prometheus that
// scrapes it and evaluates the generated rules, and every query of the
// generated dashboard.
package monitoring
