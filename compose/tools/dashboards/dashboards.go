// Package dashboards makes the dashboards of compose/grafana.yml, as Grafana provisions
// them.
package dashboards

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Dashboard is one page of panels.
type Dashboard struct {
	// Name is that of its file and its address.
	Name, Title string
	// Variables may be chosen at the top of the page.
	Variables []Variable
	Panels    []Panel
}

// Variable is a choice among the values of a label of a metric.
type Variable struct{ Name, Metric, Label string }

// Panel is one picture of one or more queries.
type Panel struct {
	Title string
	// Kind is timeseries, stat or table; Unit is Grafana's word for what is shown.
	Kind, Unit string
	Queries    []Query
}

// Query is PromQL, and what its series are called.
type Query struct{ Expr, Legend string }

func graph(title, unit string, queries ...string) Panel {
	p := Panel{Title: title, Kind: "timeseries", Unit: unit}
	for i := 0; i+1 < len(queries); i += 2 {
		p.Queries = append(p.Queries, Query{queries[i], queries[i+1]})
	}
	return p
}

func stat(title, unit, expr string) Panel {
	return Panel{Title: title, Kind: "stat", Unit: unit, Queries: []Query{{expr, ""}}}
}

func table(title, expr string) Panel {
	return Panel{Title: title, Kind: "table", Queries: []Query{{expr, ""}}}
}

// source is the data source of compose/grafana/datasource.yml.
const source = "waggle"

// The pages stand four panels of this width in a row, or two twice as wide.
const (
	narrow, wide = 6, 12
	low, high    = 4, 8
	across       = 24
)

type object = map[string]any

// JSON is the dashboard as Grafana reads it. The same dashboard gives the same bytes.
func (d Dashboard) JSON() ([]byte, error) {
	from := object{"type": "prometheus", "uid": source}
	panels, x, y, tallest := []object{}, 0, 0, 0
	for i, p := range d.Panels {
		width, height := wide, high
		if p.Kind == "stat" {
			width, height = narrow, low
		}
		if x+width > across || (i > 0 && d.Panels[i-1].Kind == "stat") != (p.Kind == "stat") && x > 0 {
			x, y, tallest = 0, y+tallest, 0
		}
		targets := []object{}
		for n, q := range p.Queries {
			one := object{"refId": string(rune('A' + n)), "expr": q.Expr, "legendFormat": q.Legend, "datasource": from}
			if p.Kind == "table" {
				one["format"], one["instant"] = "table", true
			}
			targets = append(targets, one)
		}
		panels = append(panels, object{
			"id": i + 1, "type": p.Kind, "title": p.Title, "datasource": from, "targets": targets,
			"gridPos":     object{"x": x, "y": y, "w": width, "h": height},
			"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": []object{}},
		})
		x, tallest = x+width, max(tallest, height)
	}
	variables := []object{}
	for _, v := range d.Variables {
		query := fmt.Sprintf("label_values(%s, %s)", v.Metric, v.Label)
		variables = append(variables, object{
			"name": v.Name, "type": "query", "datasource": from, "query": object{"query": query, "refId": v.Name}, "definition": query,
			"refresh": 2, "multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(object{
		"uid": "waggle-" + d.Name, "title": d.Title, "tags": []string{"waggle"}, "schemaVersion": 39, "version": 1, "editable": false,
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "30s", "timezone": "", "panels": panels, "templating": object{"list": variables},
		"links": []object{{"type": "dashboards", "tags": []string{"waggle"}, "title": "Waggle", "asDropdown": true}},
	})
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.Name, err)
	}
	return b.Bytes(), nil
}

//go:embed text/grafana.yml
var stackText string

// The places of stackText that are filled in.
const (
	mounts  = "#MOUNTS\n"
	configs = "#CONFIGS\n"
)

// Files are the dashboards and compose/grafana.yml, by their paths. Docker changes no
// config, so each is called by its content.
func Files() (map[string][]byte, error) {
	out := map[string][]byte{}
	var mounted, named strings.Builder
	for _, d := range All() {
		content, err := d.JSON()
		if err != nil {
			return nil, err
		}
		out["compose/grafana/"+d.Name+".json"] = content
		sum := sha256.Sum256(content)
		fmt.Fprintf(&mounted, "      - {source: grafana_%s, target: /etc/waggle/dashboards/%s.json}\n", d.Name, d.Name)
		fmt.Fprintf(&named, "  grafana_%s: {name: waggle_grafana_%s_%s, file: ./grafana/%s.json}\n", d.Name, d.Name, hex.EncodeToString(sum[:6]), d.Name)
	}
	text := strings.NewReplacer(mounts, mounted.String(), configs, named.String()).Replace(stackText)
	out["compose/grafana.yml"] = []byte(text)
	return out, nil
}
