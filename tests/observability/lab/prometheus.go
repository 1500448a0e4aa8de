package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Prometheus is a running Prometheus.
type Prometheus struct {
	*process
	URL string
}

// ErrNoPrometheus says that Prometheus is not installed.
var ErrNoPrometheus = errors.New("no Prometheus: install it (Debian and Ubuntu: apt-get install prometheus)")

// FindPrometheus returns the paths of prometheus and promtool in PATH, or
// ErrNoPrometheus.
func FindPrometheus() (prometheus, promtool string, err error) {
	prometheus, errServer := exec.LookPath("prometheus")
	promtool, errTool := exec.LookPath("promtool")
	if errServer != nil || errTool != nil {
		return "", "", ErrNoPrometheus
	}
	return prometheus, promtool, nil
}

// StartPrometheus scrapes a target twice a second, its data in dir.
func StartPrometheus(ctx context.Context, path, dir, target string, flags ...string) (*Prometheus, error) {
	addrs, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 1s}
scrape_configs:
  - job_name: shop-worker
    static_configs: [{targets: [%q]}]
`, strings.TrimPrefix(target, "http://"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p, err := start(exec.Command(path, append([]string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addrs[0], "--log.level=warn",
	}, flags...)...))
	if err != nil {
		return nil, err
	}
	prom := &Prometheus{process: p, URL: "http://" + addrs[0]}
	err = until(ctx, p, "wait for Prometheus", func(ctx context.Context) error {
		_, err := do(ctx, http.MethodGet, prom.URL+"/-/ready")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, prom.Stop())
	}
	return prom, nil
}

// Sample is one element of a query's answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an instant query now.
func (p *Prometheus) Query(ctx context.Context, expression string) ([]Sample, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := getJSON(ctx, p.URL+"/api/v1/query", url.Values{"query": {expression}}, &answer); err != nil {
		return nil, err
	}
	samples := make([]Sample, len(answer.Data.Result))
	for i, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		samples[i] = Sample{r.Metric, value}
	}
	return samples, nil
}

// Exemplars returns the trace ids of the exemplars of a series' last minutes.
func (p *Prometheus) Exemplars(ctx context.Context, expression string) ([]string, error) {
	now := time.Now()
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	err := getJSON(ctx, p.URL+"/api/v1/query_exemplars", url.Values{"query": {expression},
		"start": {strconv.FormatInt(now.Add(-5*time.Minute).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix()+1, 10)}}, &answer)
	var ids []string
	for _, series := range answer.Data {
		for _, one := range series.Exemplars {
			ids = append(ids, one.Labels["trace_id"])
		}
	}
	return ids, err
}
