package monitorcase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

func keys(m map[string]string) iter.Seq[string] { return maps.Keys(m) }

// get is a GET and its answer.
type get struct {
	From   string          `json:"from"`
	Path   string          `json:"path"`
	Status json.RawMessage `json:"status"`
	Type   string          `json:"type"`
	JSON   json.RawMessage `json:"json"`
	Has    []string        `json:"has"`
	Lacks  []string        `json:"lacks"`
	Valid  string          `json:"valid"`

	statuses []int
}

func (g *get) check() error {
	var one int
	if json.Unmarshal(g.Status, &one) == nil {
		g.statuses = []int{one}
	} else if err := json.Unmarshal(g.Status, &g.statuses); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if g.Path == "" || len(g.statuses) == 0 {
		return errors.New("want path and status")
	}
	if g.Valid != "" {
		if err := oneOf("valid", g.Valid, []string{"rules", "targets"}); err != nil {
			return err
		}
	}
	return oneOf("from", g.From, []string{monitor, "prometheus", listener})
}

func (g get) answered(ctx context.Context, w *world) error {
	r := admin(g.Path)
	switch {
	case g.From == "prometheus" && w.Subject == monitor:
		r = tooltest.Request{Method: http.MethodGet, URL: "http://" + prometheusAddr + g.Path}
	case g.From != w.Subject:
		return tooltest.Final(fmt.Errorf("there is no %s in a case of the %s", g.From, w.Subject))
	}
	a, err := tooltest.Ask(ctx, r)
	if err != nil {
		return err
	}
	body := string(a.Body)
	if !slices.Contains(g.statuses, a.Status) {
		return fmt.Errorf("status %d, want %v: %s", a.Status, g.statuses, body)
	}
	if kind := a.Header.Get("Content-Type"); !strings.HasPrefix(kind, g.Type) {
		return fmt.Errorf("Content-Type %q, want %q", kind, g.Type)
	}
	if err := speaks(body, g.JSON, g.Has); err != nil {
		return err
	}
	for _, text := range g.Lacks {
		if containsAll(body, []string{text}) {
			return fmt.Errorf("the body has %q: %s", text, body)
		}
	}
	switch g.Valid {
	case "rules":
		return w.tools.takesRules(ctx, a.Body)
	case "targets":
		return areTargets(a.Body)
	}
	return nil
}

// speaks says why a body does not have these members and texts.
func speaks(body string, want json.RawMessage, texts []string) error {
	if !containsAll(body, texts) {
		return fmt.Errorf("the body lacks one of %q: %s", texts, body)
	}
	if len(want) == 0 {
		return nil
	}
	var wanted, got any
	if err := json.Unmarshal(want, &wanted); err != nil {
		return tooltest.Final(err)
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	return subset(wanted, got)
}

// takesRules says why promtool does not take rules.
func (p *promtool) takesRules(ctx context.Context, rules []byte) error {
	folder, err := os.MkdirTemp("", "rules")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "rules.yml")
	if err := os.WriteFile(path, rules, 0o600); err != nil {
		return err
	}
	_, err = p.run(ctx, "check", "rules", path)
	return err
}

// areTargets says why a body is no list of targets as HTTP service discovery takes it.
func areTargets(body []byte) error {
	var all []struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(body, &all); err != nil || all == nil {
		return fmt.Errorf("no list of targets: %s", body)
	}
	for _, one := range all {
		if len(one.Targets) == 0 {
			return fmt.Errorf("an element without targets: %s", body)
		}
	}
	return nil
}

// call is a request to the interface of Docker Flow Monitor.
type call struct {
	Method string            `json:"m"`
	Path   string            `json:"path"`
	Query  map[string]string `json:"query"`
	Token  bool              `json:"token"`
	Status int               `json:"status"`
	JSON   json.RawMessage   `json:"json"`
	Has    []string          `json:"has"`
}

func (c call) answered(ctx context.Context, _ *world) error {
	query := url.Values{}
	for name, text := range c.Query {
		query.Set(name, text)
	}
	r := admin("/v1/docker-flow-monitor/" + c.Path)
	r.Method = c.Method
	if len(query) > 0 {
		r.URL += "?" + query.Encode()
	}
	if !c.Token {
		r.Token = ""
	}
	a, err := tooltest.Ask(ctx, r)
	if err != nil {
		return err
	}
	if a.Status != c.Status {
		return fmt.Errorf("status %d, want %d: %s", a.Status, c.Status, a.Body)
	}
	return speaks(string(a.Body), c.JSON, c.Has)
}

// row is a series that the listener should have: its metric, labels and value.
type row struct {
	metric string
	labels map[string]string
	// absent, number and word are the value.
	absent bool
	number *float64
	word   string
}

// UnmarshalJSON reads [metric, labels, value].
func (r *row) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || len(parts) != 3 {
		return fmt.Errorf("%s: want metric, labels and value", text)
	}
	if err := errors.Join(json.Unmarshal(parts[0], &r.metric), json.Unmarshal(parts[1], &r.labels)); err != nil {
		return err
	}
	var number float64
	switch {
	case string(parts[2]) == "null":
		r.absent = true
	case json.Unmarshal(parts[2], &number) == nil:
		r.number = &number
	case json.Unmarshal(parts[2], &r.word) != nil || !slices.Contains([]string{"any", "new", "old"}, r.word):
		return fmt.Errorf("value %s: want a number, null, any, new or old", parts[2])
	}
	return nil
}

func state(rows []row) attempt {
	return func(ctx context.Context, _ *world) error {
		a, err := tooltest.Ask(ctx, admin("/metrics"))
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("status %d of /metrics: %s", a.Status, a.Body)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(a.Body)))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := r.is(families[r.metric]); err != nil {
				return fmt.Errorf("%s %v: %w", r.metric, r.labels, err)
			}
		}
		return nil
	}
}

// recent is how old what is new may be.
const recent = 10 * time.Second

// is says why a metric's series are not as the row has it.
func (r row) is(family *dto.MetricFamily) error {
	var values []float64
	for _, m := range family.GetMetric() {
		labels := map[string]string{}
		for _, pair := range m.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if labelled(labels, r.labels, nil) == nil {
			values = append(values, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetUntyped().GetValue())
		}
	}
	if r.absent {
		if len(values) > 0 {
			return fmt.Errorf("it is there: %v", values)
		}
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("there are %d such series, want one", len(values))
	}
	isRecent := time.Since(time.Unix(0, int64(values[0]*1e9))) <= recent
	if r.number != nil && values[0] != *r.number || r.word == "new" && !isRecent || r.word == "old" && (isRecent || values[0] <= 0) {
		return fmt.Errorf("it is %v", values[0])
	}
	return nil
}
