package monitorcase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// promtool is Prometheus' own tool.
type promtool struct {
	program string
	// printed are expressions as PromQL's own parser prints them.
	printed map[string]string
}

func (p *promtool) run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, p.program, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("promtool %s: %w: %s", strings.Join(args[:2], " "), err, out)
	}
	return string(out), err
}

// print writes an expression in PromQL's one way.
func (p *promtool) print(ctx context.Context, expr string) (string, error) {
	if known, ok := p.printed[expr]; ok {
		return known, nil
	}
	out, err := p.run(ctx, "--experimental", "promql", "format", expr)
	if err == nil {
		p.printed[expr] = out
	}
	return out, err
}

// fires says when an alert fires.
type fires struct {
	Alert  string            `json:"alert"`
	Series [][]string        `json:"series"`
	At     string            `json:"at"`
	Want   *bool             `json:"want"`
	Labels map[string]string `json:"labels"`
	Count  *int              `json:"count"`
}

func (f fires) check() error {
	if _, ok := duration(f.At); !ok || f.Alert == "" || f.Want == nil || f.Series == nil {
		return errors.New("want alert, series, at and want")
	}
	if !*f.Want && (f.Labels != nil || f.Count != nil) {
		return errors.New("what does not fire has neither labels nor count")
	}
	for _, pair := range f.Series {
		if len(pair) != 2 {
			return fmt.Errorf("%q: want a series and its values", pair)
		}
	}
	return nil
}

// step30 are both intervals of the test.
const step30 = "30s"

// tried lets promtool evaluate the rules in force on the series.
func (f fires) tried(ctx context.Context, w *world) error {
	all, err := w.alerts(ctx)
	if err != nil {
		return err
	}
	if len(named(all, f.Alert)) == 0 {
		return errors.New("there is no such rule")
	}
	files, err := w.ruleFiles(ctx)
	if err != nil {
		return err
	}
	series := []map[string]string{}
	for _, pair := range f.Series {
		series = append(series, map[string]string{"series": pair[0], "values": pair[1]})
	}
	expr, samples := f.question()
	test, err := json.Marshal(map[string]any{
		"rule_files": files, "evaluation_interval": step30,
		"tests": []any{map[string]any{
			"interval": step30, "input_series": series,
			"promql_expr_test": []any{map[string]any{"expr": expr, "eval_time": f.At, "exp_samples": samples}},
		}},
	})
	if err != nil {
		return tooltest.Final(err)
	}
	folder, err := os.MkdirTemp("", "fires")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "test.yml") // JSON is YAML
	if err := os.WriteFile(path, test, 0o600); err != nil {
		return err
	}
	_, err = w.tools.run(ctx, "test", "rules", path)
	return err
}

// question is what is asked of the alerts that fire, and the answer that is right.
func (f fires) question() (expr string, samples []map[string]any) {
	matchers := []string{`alertname=` + strconv.Quote(f.Alert), `alertstate="firing"`}
	for _, name := range slices.Sorted(keys(f.Labels)) {
		matchers = append(matchers, name+"="+strconv.Quote(f.Labels[name]))
	}
	count := "count(ALERTS{" + strings.Join(matchers, ",") + "})"
	switch {
	case !*f.Want, f.Count != nil && *f.Count == 0:
		return count, []map[string]any{}
	case f.Count != nil:
		return count, []map[string]any{{"labels": "{}", "value": *f.Count}}
	}
	return "clamp_max(" + count + ", 1)", []map[string]any{{"labels": "{}", "value": 1}}
}
