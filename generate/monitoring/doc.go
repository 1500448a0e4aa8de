// Package monitoring writes what watches the tasks of a spec: Prometheus
// recording and alert rules, and a Grafana dashboard.
//
//	objective.go  service levels -> what is counted, and how fast a budget burns
//	rules.go      the rules: burn rates per objective, and the health of the whole
//	yaml.go       rules -> text
//	dashboard.go  the panels and their queries
//	grafana.go    panels -> JSON
//	metrics.go    the engine's metrics that both read, by name
//
// One spec gives the same bytes on every machine. The rules are checked by
// promtool; every query of the dashboard is run in tests/monitoring against a
// Prometheus that scrapes a worker.
//
// It imports generate/model, generate/spec for durations, and the standard
// library; the names of the metrics are written out, since the generator does
// not import the engine.
package monitoring
