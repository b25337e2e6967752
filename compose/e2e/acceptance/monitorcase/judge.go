package monitorcase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// judge is a step that is tried until it holds, once the component has the newest catalog.
func judge(about string, of subjects, err error, try attempt) (acceptance.Step, error) {
	return step(about, of, func(ctx context.Context, w *world) error {
		if err := w.reached(ctx); err != nil {
			return err
		}
		return w.poll(ctx, limit, func(ctx context.Context) error { return try(ctx, w) })
	}), err
}

// judgements are the steps that judge.
func judgements() map[string]acceptance.Reader {
	return map[string]acceptance.Reader{
		"targets": func(values []json.RawMessage) (acceptance.Step, error) {
			var name string
			var want []target
			err := fill(values, &name, &want)
			for _, t := range want {
				err = errors.Join(err, t.check())
			}
			return judge(name, monitorAlone, err, targets(name, want))
		},
		"rule": func(values []json.RawMessage) (acceptance.Step, error) {
			var want rule
			err := fill(values, &want)
			if err == nil {
				err = want.check()
			}
			return judge(want.Alert, monitorAlone, err, want.shown)
		},
		"no_rule": func(values []json.RawMessage) (acceptance.Step, error) {
			var name string
			err := fill(values, &name)
			return judge(name, monitorAlone, err, func(ctx context.Context, w *world) error {
				all, err := w.alerts(ctx)
				if err == nil && len(named(all, name)) > 0 {
					err = fmt.Errorf("there is an alert %s", name)
				}
				return err
			})
		},
		"alerts": func(values []json.RawMessage) (acceptance.Step, error) {
			var names []string
			err := fill(values, &names)
			return judge("", monitorAlone, err, func(ctx context.Context, w *world) error {
				all, err := w.alerts(ctx)
				if err != nil {
					return err
				}
				got := []string{}
				for _, r := range all {
					got = append(got, r.Name)
				}
				slices.Sort(got)
				if want := slices.Sorted(slices.Values(names)); !slices.Equal(got, want) {
					return fmt.Errorf("there are %v, want %v", got, want)
				}
				return nil
			})
		},
		"fires": func(values []json.RawMessage) (acceptance.Step, error) {
			var want fires
			err := fill(values, &want)
			if err == nil {
				err = want.check()
			}
			return judge(want.Alert, monitorAlone, err, want.tried)
		},
		"query": func(values []json.RawMessage) (acceptance.Step, error) {
			var expr string
			var want []sample
			err := fill(values, &expr, &want)
			return judge(expr, monitorAlone, err, query(expr, want))
		},
		"status": func(values []json.RawMessage) (acceptance.Step, error) {
			var service string
			var want status
			err := fill(values, &service, &want)
			if err == nil {
				err = want.check()
			}
			return judge(service, monitorAlone, err, want.told(service))
		},
		"config_has": func(values []json.RawMessage) (acceptance.Step, error) {
			var want map[string]any
			err := fill(values, &want)
			return judge("", monitorAlone, err, func(ctx context.Context, w *world) error {
				got, err := w.config(ctx)
				if err != nil {
					return err
				}
				return subset(want, got)
			})
		},
		"reloads_at_most": func(values []json.RawMessage) (acceptance.Step, error) {
			var n int
			err := fill(values, &n)
			return step(strconv.Itoa(n), monitorAlone, func(ctx context.Context, w *world) error { return w.reloadsAtMost(ctx, n) }), err
		},
		"log": func(values []json.RawMessage) (acceptance.Step, error) {
			var texts []string
			err := fill(values, &texts)
			return judge(strings.Join(texts, ", "), monitorAlone, err, func(_ context.Context, w *world) error {
				if !slices.ContainsFunc(w.process.Said(), func(line string) bool { return containsAll(line, texts) }) {
					return fmt.Errorf("no line says %q", texts)
				}
				return nil
			})
		},
		"get": func(values []json.RawMessage) (acceptance.Step, error) {
			var g get
			err := fill(values, &g)
			if err == nil {
				err = g.check()
			}
			return judge(g.Path, both, err, g.answered)
		},
		"http": func(values []json.RawMessage) (acceptance.Step, error) {
			h := call{Method: http.MethodGet, Token: true}
			err := fill(values, &h)
			if err == nil && h.Status == 0 {
				err = errors.New("want path and status")
			}
			return judge(h.Path, monitorAlone, err, h.answered)
		},
		"state": func(values []json.RawMessage) (acceptance.Step, error) {
			var rows []row
			err := fill(values, &rows)
			return judge("", listenerOnly, err, state(rows))
		},
	}
}

// target is one that Prometheus should show.
type target struct {
	Address  string            `json:"address"`
	Path     string            `json:"path"`
	Interval string            `json:"interval"`
	Timeout  string            `json:"timeout"`
	Labels   map[string]string `json:"labels"`
	Lacks    []string          `json:"lacks"`
	Health   string            `json:"health"`
	Error    string            `json:"error"`
}

func (t target) check() error {
	if t.Address == "" {
		return errors.New("a target without an address")
	}
	for _, text := range []string{t.Interval, t.Timeout} {
		if _, ok := duration(text); text != "" && !ok {
			return fmt.Errorf("%q is no duration", text)
		}
	}
	return nil
}

// shownTarget is one as Prometheus shows it.
type shownTarget struct {
	Labels         map[string]string `json:"labels"`
	ScrapeURL      string            `json:"scrapeUrl"`
	ScrapeInterval string            `json:"scrapeInterval"`
	ScrapeTimeout  string            `json:"scrapeTimeout"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError"`
}

func targets(name string, want []target) attempt {
	return func(ctx context.Context, w *world) error {
		var all struct {
			ActiveTargets []shownTarget `json:"activeTargets"`
		}
		if err := w.ask(ctx, "/api/v1/targets?state=active", &all); err != nil {
			return err
		}
		var got []shownTarget
		for _, t := range all.ActiveTargets {
			if t.Labels["job"] == name || t.Labels["service"] == name {
				got = append(got, t)
			}
		}
		if len(got) != len(want) {
			urls := []string{}
			for _, t := range got {
				urls = append(urls, t.ScrapeURL)
			}
			return fmt.Errorf("there are %d targets %v, want %d", len(got), urls, len(want))
		}
		return match(len(want), len(got), func(i, j int) error { return want[i].is(got[j]) })
	}
}

// is says why a target that is shown is not this one.
func (t target) is(got shownTarget) error {
	at, err := url.Parse(got.ScrapeURL)
	if err != nil {
		return err
	}
	switch {
	case at.Host != t.Address:
		return fmt.Errorf("%s is no target at %s", got.ScrapeURL, t.Address)
	case t.Path != "" && at.Path != t.Path:
		return fmt.Errorf("%s has the path %s, want %s", t.Address, at.Path, t.Path)
	case t.Interval != "" && !sameTime(t.Interval, got.ScrapeInterval):
		return fmt.Errorf("%s has the interval %s, want %s", t.Address, got.ScrapeInterval, t.Interval)
	case t.Timeout != "" && !sameTime(t.Timeout, got.ScrapeTimeout):
		return fmt.Errorf("%s has the timeout %s, want %s", t.Address, got.ScrapeTimeout, t.Timeout)
	case t.Health != "" && t.Health != got.Health:
		return fmt.Errorf("%s is %s (%s), want %s", t.Address, got.Health, got.LastError, t.Health)
	case !containsAll(got.LastError, []string{t.Error}):
		return fmt.Errorf("%s has the error %q, want %q", t.Address, got.LastError, t.Error)
	}
	if err := labelled(got.Labels, t.Labels, t.Lacks); err != nil {
		return fmt.Errorf("%s: %w", t.Address, err)
	}
	return nil
}

// rule is an alert rule that Prometheus should show.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Lacks       []string          `json:"lacks"`
	Annotations map[string]string `json:"annotations"`
	Health      string            `json:"health"`
}

func (r rule) check() error {
	if r.Alert == "" {
		return errors.New("a rule without the alert's name")
	}
	if _, ok := duration(r.For); r.For != "" && !ok {
		return fmt.Errorf("%q is no duration", r.For)
	}
	return nil
}

// shownRule is an alert rule as Prometheus shows it.
type shownRule struct {
	Type        string            `json:"type"`
	Name        string            `json:"name"`
	Query       string            `json:"query"`
	Duration    float64           `json:"duration"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Health      string            `json:"health"`
}

// alerts are all alert rules of all files.
func (w *world) alerts(ctx context.Context) ([]shownRule, error) {
	var all struct {
		Groups []struct {
			Rules []shownRule `json:"rules"`
		} `json:"groups"`
	}
	if err := w.ask(ctx, "/api/v1/rules", &all); err != nil {
		return nil, err
	}
	var out []shownRule
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			if r.Type == "alerting" {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

func named(all []shownRule, name string) []shownRule {
	return slices.DeleteFunc(slices.Clone(all), func(r shownRule) bool { return r.Name != name })
}

func (r rule) shown(ctx context.Context, w *world) error {
	all, err := w.alerts(ctx)
	if err != nil {
		return err
	}
	some := named(all, r.Alert)
	if len(some) != 1 {
		return fmt.Errorf("%d alerts are called so", len(some))
	}
	got := some[0]
	if r.For != "" {
		if d, _ := duration(r.For); d.Seconds() != got.Duration {
			return fmt.Errorf("it holds for %v s, want %s", got.Duration, r.For)
		}
	}
	if r.Health != "" && r.Health != got.Health {
		return fmt.Errorf("its health is %s, want %s", got.Health, r.Health)
	}
	if err := labelled(got.Labels, r.Labels, r.Lacks); err != nil {
		return err
	}
	for name, text := range r.Annotations {
		if got.Annotations[name] != text {
			return fmt.Errorf("annotation %s is %q, want %q", name, got.Annotations[name], text)
		}
	}
	if r.Expr == "" {
		return nil
	}
	want, err := w.tools.print(ctx, r.Expr)
	if err != nil {
		return tooltest.Final(err)
	}
	have, err := w.tools.print(ctx, got.Query)
	if err == nil && want != have {
		err = fmt.Errorf("the expression is %s, want %s", got.Query, r.Expr)
	}
	return err
}

// sample is one result of a query.
type sample struct {
	Labels map[string]string `json:"labels"`
	Value  *float64          `json:"value"`
}

func query(expr string, want []sample) attempt {
	return func(ctx context.Context, w *world) error {
		var got struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		}
		if err := w.ask(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &got); err != nil {
			return err
		}
		var results []struct {
			Metric map[string]string `json:"metric"`
			Value  []any             `json:"value"`
		}
		if got.ResultType == "scalar" {
			results = append(results, struct {
				Metric map[string]string `json:"metric"`
				Value  []any             `json:"value"`
			}{})
			if err := json.Unmarshal(got.Result, &results[0].Value); err != nil {
				return err
			}
		} else if err := json.Unmarshal(got.Result, &results); err != nil {
			return err
		}
		if len(results) != len(want) {
			return fmt.Errorf("there are %d results %s, want %d", len(results), got.Result, len(want))
		}
		return match(len(want), len(results), func(i, j int) error {
			if err := labelled(results[j].Metric, want[i].Labels, nil); err != nil {
				return err
			}
			if want[i].Value == nil {
				return nil
			}
			if len(results[j].Value) != 2 {
				return fmt.Errorf("it is %v, want one value", results[j].Value)
			}
			value, err := strconv.ParseFloat(fmt.Sprint(results[j].Value[1]), 64)
			if err == nil && value != *want[i].Value {
				err = fmt.Errorf("it is %v, want %v", value, *want[i].Value)
			}
			return err
		})
	}
}

// status is what the monitor should say of a service.
type status struct {
	State  string   `json:"state"`
	Label  string   `json:"label"`
	Reason []string `json:"reason"`
	Warns  []string `json:"warns"`
}

func (s status) check() error {
	if s.Label != "" && !strings.HasPrefix(s.Label, catalog.Prefix) {
		return fmt.Errorf("label %s: want it with its prefix", s.Label)
	}
	return oneOf("state", s.State, []string{"accepted", "applied", "degraded", "rejected", "ignored"})
}

func (s status) told(service string) attempt {
	return func(ctx context.Context, w *world) error {
		var got catalog.Status
		if err := tooltest.Get(ctx, admin("/v1/services/"+url.PathEscape(service)), &got); err != nil {
			return err
		}
		switch {
		case string(got.State) != s.State:
			return fmt.Errorf("it is %s (%s), want %s", got.State, got.Reason, s.State)
		case s.Label != "" && got.Label != s.Label:
			return fmt.Errorf("the label at fault is %q, want %q", got.Label, s.Label)
		case !containsAll(got.Reason, s.Reason):
			return fmt.Errorf("the reason is %q, want %q", got.Reason, s.Reason)
		case !containsAll(strings.Join(got.Warnings, "\n"), s.Warns):
			return fmt.Errorf("the warnings are %q, want %q", got.Warnings, s.Warns)
		}
		return nil
	}
}

// ask asks Prometheus, below the path of its external URL.
func (w *world) ask(ctx context.Context, path string, into any) error {
	got := struct {
		Data any `json:"data"`
	}{Data: into}
	return tooltest.Get(ctx, tooltest.Request{Method: http.MethodGet, URL: w.prometheus() + path}, &got)
}

// config is the configuration that Prometheus runs with.
func (w *world) config(ctx context.Context) (map[string]any, error) {
	var told struct {
		YAML string `json:"yaml"`
	}
	if err := w.ask(ctx, "/api/v1/status/config", &told); err != nil {
		return nil, err
	}
	var out map[string]any
	return out, yaml.Unmarshal([]byte(told.YAML), &out)
}

// ruleFiles are those that the running configuration names.
func (w *world) ruleFiles(ctx context.Context) ([]string, error) {
	config, err := w.config(ctx)
	if err != nil {
		return nil, err
	}
	listed, _ := config["rule_files"].([]any)
	var out []string
	for _, name := range listed {
		path := fmt.Sprint(name)
		if !filepath.IsAbs(path) {
			path = filepath.Join(dataDir, "prometheus", path)
		}
		found, err := filepath.Glob(path)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// reloads counts lines of Prometheus in the log.
type reloads struct{ from int64 }

// mark lets the counting begin anew.
func (r *reloads) mark() error {
	info, err := os.Stat(componentLog)
	if err == nil {
		r.from = info.Size()
	}
	return err
}

// settled is for how long nothing must have changed before reloads are counted.
const settled = 3 * time.Second

func (w *world) reloadsAtMost(ctx context.Context, n int) error {
	if err := w.reached(ctx); err != nil {
		return err
	}
	if err := tooltest.Pause(ctx, time.Until(w.changed.Add(settled))); err != nil {
		return err
	}
	log, err := os.ReadFile(componentLog)
	if err != nil {
		return err
	}
	if got := strings.Count(string(log[w.reloads.from:]), "Loading configuration file"); got > n {
		return fmt.Errorf("Prometheus loaded its configuration %d times", got)
	}
	return nil
}
