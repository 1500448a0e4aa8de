package monitoring

import (
	"bytes"
	"encoding/json"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// The part of Grafana's dashboard model that is used, in the order in which it
// is written.
type (
	grafanaDashboard struct {
		Description   string            `json:"description"` // first, so that it holds the mark
		UID           string            `json:"uid"`
		Title         string            `json:"title"`
		Tags          []string          `json:"tags"`
		Editable      bool              `json:"editable"`
		Refresh       string            `json:"refresh"`
		SchemaVersion int               `json:"schemaVersion"`
		Time          grafanaTime       `json:"time"`
		Templating    grafanaTemplating `json:"templating"`
		Panels        []grafanaPanel    `json:"panels"`
	}
	grafanaTime struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	grafanaTemplating struct {
		List []grafanaVariable `json:"list"`
	}
	grafanaVariable struct {
		Name       string         `json:"name"`
		Label      string         `json:"label"`
		Type       string         `json:"type"`
		Query      string         `json:"query"`
		Datasource *grafanaSource `json:"datasource,omitempty"`
		Refresh    int            `json:"refresh,omitempty"`
		Sort       int            `json:"sort,omitempty"`
		Multi      bool           `json:"multi,omitempty"`
		IncludeAll bool           `json:"includeAll,omitempty"`
		AllValue   string         `json:"allValue,omitempty"`
		Current    *grafanaChoice `json:"current,omitempty"`
	}
	grafanaChoice struct {
		Text  string `json:"text"`
		Value string `json:"value"`
	}
	grafanaSource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	grafanaPanel struct {
		ID          int                 `json:"id"`
		Type        string              `json:"type"`
		Title       string              `json:"title"`
		Description string              `json:"description,omitempty"`
		GridPos     grafanaPosition     `json:"gridPos"`
		Datasource  *grafanaSource      `json:"datasource,omitempty"`
		FieldConfig *grafanaFieldConfig `json:"fieldConfig,omitempty"`
		Options     any                 `json:"options,omitempty"`
		Targets     []grafanaTarget     `json:"targets,omitempty"`
	}
	grafanaPosition struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	grafanaFieldConfig struct {
		Defaults  grafanaDefaults `json:"defaults"`
		Overrides []struct{}      `json:"overrides"`
	}
	grafanaDefaults struct {
		Unit string `json:"unit"`
		Min  int    `json:"min"`
	}
	grafanaTarget struct {
		RefID        string         `json:"refId"`
		Expr         string         `json:"expr"`
		LegendFormat string         `json:"legendFormat,omitempty"`
		Exemplar     bool           `json:"exemplar,omitempty"`
		Datasource   *grafanaSource `json:"datasource"`
	}
	grafanaReduce struct {
		ReduceOptions struct {
			Calcs []string `json:"calcs"`
		} `json:"reduceOptions"`
	}
)

const (
	columns      = 24
	graphHeight  = 8
	numberHeight = 4
)

func dashboardJSON(s *model.Spec) ([]byte, error) {
	source := &grafanaSource{Type: "prometheus", UID: "${datasource}"}
	variable := func(name, label, query string) grafanaVariable {
		return grafanaVariable{
			Name: name, Label: label, Type: "query", Query: query, Datasource: source,
			Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".*",
			Current: &grafanaChoice{"All", "$__all"},
		}
	}
	d := grafanaDashboard{
		Description: mark(s),
		// One dashboard a package, found again when it is provisioned anew.
		UID:           "orchestrator-" + s.Package,
		Title:         "Tasks of " + s.Package,
		Tags:          []string{"orchestrator"},
		Editable:      true,
		Refresh:       "30s",
		SchemaVersion: 39,
		Time:          grafanaTime{"now-3h", "now"},
		Templating: grafanaTemplating{[]grafanaVariable{
			{Name: "datasource", Label: "Prometheus", Type: "datasource", Query: "prometheus"},
			variable("queue", "Queue", "label_values("+attempts+", queue)"),
			variable("type", "Task type", "label_values("+attempts+`{queue=~"$queue"}, type)`),
		}},
		Panels: layOut(rows(s), source),
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(d)
	return b.Bytes(), err
}

// layOut gives every panel its place, rows from top to bottom and panels from
// left to right.
func layOut(rows []row, source *grafanaSource) []grafanaPanel {
	var all []grafanaPanel
	y := 0
	for _, r := range rows {
		all = append(all, grafanaPanel{ID: len(all) + 1, Type: "row", Title: r.title, GridPos: grafanaPosition{H: 1, W: columns, Y: y}})
		y++
		x, height := 0, 0
		for _, p := range r.panels {
			if x+p.width > columns {
				x, y = 0, y+height
			}
			height = graphHeight
			if p.kind == number {
				height = numberHeight
			}
			one := p.grafana(source)
			one.ID = len(all) + 1
			one.GridPos = grafanaPosition{H: height, W: p.width, X: x, Y: y}
			all = append(all, one)
			x += p.width
		}
		y += height
	}
	return all
}

func (p panel) grafana(source *grafanaSource) grafanaPanel {
	one := grafanaPanel{
		Type: p.kind, Title: p.title, Description: p.says, Datasource: source,
		FieldConfig: &grafanaFieldConfig{Defaults: grafanaDefaults{Unit: p.unit}, Overrides: []struct{}{}},
	}
	if p.kind == number {
		var reduce grafanaReduce
		reduce.ReduceOptions.Calcs = []string{"lastNotNull"}
		one.Options = reduce
	}
	for i, q := range p.queries {
		one.Targets = append(one.Targets, grafanaTarget{
			RefID: string(rune('A' + i)), Expr: q.expr, LegendFormat: q.legend, Datasource: source,
			// Dots on the graph that lead to traces, where buckets carry them.
			Exemplar: p.kind == graph && p.unit == duration,
		})
	}
	return one
}
