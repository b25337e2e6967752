package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/plot"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// quiet are panels that have no data as long as nothing goes wrong, or nothing is scaled.
func quiet() []string {
	return []string{"Alerts that scale", "Tasks that find no node, by reason", "Days until a certificate ends"}
}

// dashboard is a file that Grafana reads.
type dashboard struct {
	Title  string
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// variable is one of a dashboard's, of which all values are asked for.
var variable = regexp.MustCompile(`\$[a-z]+`)

// dashboards: each panel has data, after some requests and an alert, and is drawn.
func (w *world) dashboards(ctx context.Context) error {
	const service, path = "go-seen", "/go-seen"
	if err := w.serve(ctx, service, path, "scaleMin", "1", "scaleMax", "3", "alertName", "seen", "alertIf", "up > 0", "alertLabels", "severity=warning"); err != nil {
		return err
	}
	if answer, err := w.AskScaler(ctx, service, "up", w.Token("scaler")); err != nil {
		return fmt.Errorf("%s: %w", answer, err)
	}
	asking, stop := context.WithTimeout(ctx, 90*time.Second)
	defer stop()
	flow := w.Flow(asking, []string{stack.Manager}, path)
	err := tooltest.Pause(ctx, 90*time.Second)
	if _, failed := flow(); err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "waggle-dashboards-")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(w.Script("grafana/*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no dashboards: %w", err)
	}
	for _, file := range files {
		if err := w.drawn(ctx, file, filepath.Join(folder, strings.TrimSuffix(filepath.Base(file), ".json")+".png")); err != nil {
			return err
		}
	}
	w.Say("the pictures are in %s", folder)
	return w.Remove(ctx, service)
}

// drawn draws one of them.
func (w *world) drawn(ctx context.Context, file, picture string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var panels []plot.Panel
	empty := 0
	for _, p := range d.Panels {
		panel := plot.Panel{Title: p.Title}
		for _, t := range p.Targets {
			series, err := w.during(ctx, variable.ReplaceAllString(t.Expr, ".*"), 5*time.Minute)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", d.Title, p.Title, err)
			}
			panel.Series = append(panel.Series, series...)
		}
		if len(panel.Series) == 0 && !slices.Contains(quiet(), p.Title) {
			w.Fault("%s, %s: no data", d.Title, p.Title)
			empty++
		}
		panels = append(panels, panel)
	}
	out, err := os.Create(picture)
	if err != nil {
		return err
	}
	w.Say("%s: %d panels, %d of them empty that should not be", d.Title, len(panels), empty)
	err = png.Encode(out, plot.Draw(d.Title, panels))
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// during evaluates an expression over the last while.
func (w *world) during(ctx context.Context, expr string, span time.Duration) ([]plot.Series, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	now := time.Now()
	query := url.Values{"query": {expr}, "start": {strconv.FormatInt(now.Add(-span).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)}, "step": {"5"}}
	if err := w.prometheus(ctx, "/api/v1/query_range?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	var out []plot.Series
	for _, r := range answer.Data.Result {
		s := plot.Series{Name: named(r.Metric)}
		for _, v := range r.Values {
			at, isNumber := v[0].(float64)
			value, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
			if !isNumber || err != nil {
				return nil, fmt.Errorf("%s: a value %v", expr, v)
			}
			if !math.IsNaN(value) {
				s.Points = append(s.Points, plot.Point{At: time.Unix(int64(at), 0), Value: value})
			}
		}
		if len(s.Points) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

// named is a series by the texts of its labels.
func named(labels map[string]string) string {
	var texts []string
	for name, text := range labels {
		if name != "__name__" {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}
