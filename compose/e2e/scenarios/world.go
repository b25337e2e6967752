package scenarios

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// world is a deployed Waggle with exporters and a chat.
type world struct {
	*parts.Stage
	chat *chat
	// short leaves out what takes many rounds.
	short bool
	// back gives back an image that was taken away.
	back func(context.Context) error
}

// Whole waits until Waggle runs.
func (w *world) Whole(ctx context.Context) error { return w.Ready(ctx) }

// Leave has nothing to end.
func (w *world) Leave(context.Context) error { return nil }

// soon is how long something may take that labels ask for, and late what waits for messages,
// which are gathered for a minute.
const (
	soon = 30 * time.Second
	late = 3 * time.Minute
)

// want waits for a condition, says it when it holds, and notes a fault if it never does.
func (w *world) want(ctx context.Context, limit time.Duration, what string, so func(context.Context) error) bool {
	began := time.Now()
	if err := tooltest.PollFor(ctx, limit, 500*time.Millisecond, what, so); err != nil {
		w.Fault("%v", err)
		return false
	}
	w.Say("%s (%.1f s)", what, time.Since(began).Seconds())
	return true
}

// below is the path before all of Prometheus' where Docker Flow's variables are set.
const below = "/monitor"

// prometheus asks Prometheus, inside of the monitor.
func (w *world) prometheus(ctx context.Context, path string, v any) error {
	node, err := w.Home(ctx, "waggle_monitor")
	if err != nil {
		return err
	}
	return w.Inside(ctx, node, "waggle_monitor", 9090, w.chat.below+path, v)
}

// query evaluates an expression now.
func (w *world) query(ctx context.Context, expr string) ([]map[string]string, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := w.prometheus(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, err
	}
	var out []map[string]string
	for _, r := range answer.Data.Result {
		labels := maps.Clone(r.Metric)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["value"] = fmt.Sprint(r.Value[1])
		out = append(out, labels)
	}
	return out, nil
}

// present is a condition: an expression has results, at least so many.
func (w *world) present(expr string, least int) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := w.query(ctx, expr)
		if err == nil && len(got) < least {
			err = fmt.Errorf("%s has %d results, want at least %d", expr, len(got), least)
		}
		return err
	}
}

// rule is one that Prometheus shows.
type rule struct {
	Name, Query, State, Health, LastError string
	Labels, Annotations                   map[string]string
}

// rules are all that are loaded, by name.
func (w *world) rules(ctx context.Context) (map[string]rule, error) {
	var answer struct {
		Data struct{ Groups []struct{ Rules []rule } }
	}
	if err := w.prometheus(ctx, "/api/v1/rules", &answer); err != nil {
		return nil, err
	}
	out := map[string]rule{}
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			out[r.Name] = r
		}
	}
	return out, nil
}

// alerts is a condition: rules of these names are there, in this state, evaluated without an
// error; in any if that is empty.
func (w *world) alerts(state string, names ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := w.rules(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			r, ok := all[name]
			switch {
			case !ok:
				return fmt.Errorf("no rule %s; there are %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
			case r.Health != "ok":
				return fmt.Errorf("%s: %s: %s", name, r.Health, r.LastError)
			case state != "" && r.State != state:
				return fmt.Errorf("%s is %s, want %s", name, r.State, state)
			}
		}
		return nil
	}
}

// noAlert is a condition: no rule of this name is there.
func (w *world) noAlert(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := w.rules(ctx)
		if _, ok := all[name]; err == nil && ok {
			return errors.New(name + " is still there")
		}
		return err
	}
}

// target is one that Prometheus scrapes.
type target struct {
	Labels    map[string]string
	Health    string
	LastError string
	ScrapeURL string
}

// targets are those of a job.
func (w *world) targets(ctx context.Context, job string) ([]target, error) {
	var answer struct {
		Data struct{ ActiveTargets []target }
	}
	err := w.prometheus(ctx, "/api/v1/targets?state=active", &answer)
	return slices.DeleteFunc(answer.Data.ActiveTargets, func(t target) bool { return t.Labels["job"] != job }), err
}

// up is a condition: a job has so many targets, all up, and each with these labels.
func (w *world) up(job string, count int, labels map[string]string) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := w.targets(ctx, job)
		if err != nil {
			return err
		}
		if len(all) != count {
			return fmt.Errorf("%s has %d targets, want %d", job, len(all), count)
		}
		for _, t := range all {
			if t.Health != "up" {
				return fmt.Errorf("%s is %s: %s", t.ScrapeURL, t.Health, t.LastError)
			}
			for name, text := range labels {
				if got := t.Labels[name]; got != text && (text != "*" || got == "") {
					return fmt.Errorf("%s has %s=%q, want %q", t.ScrapeURL, name, got, text)
				}
			}
		}
		return nil
	}
}

// says is a condition: a message with these words has come since there were n. Its color is
// good if something is over.
func (w *world) says(n int, good bool, words ...string) func(context.Context) error {
	return func(context.Context) error {
		got := w.chat.since(n)
		for _, m := range got {
			all := m.Title + "\n" + m.Text
			if (m.Color == over) == good && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(all, word) }) {
				return nil
			}
		}
		return fmt.Errorf("no message has %q; there are %+v", words, got)
	}
}

// relabel gives a service these labels besides those that it has; an empty text takes one away.
func (w *world) relabel(ctx context.Context, service string, pairs ...string) error {
	return w.Update(ctx, service, func(spec map[string]any) {
		labels, _ := spec["Labels"].(map[string]any) // Absent means none.
		if labels == nil {
			labels = map[string]any{}
		}
		for i := 0; i < len(pairs); i += 2 {
			if full := "com.df." + pairs[i]; pairs[i+1] == "" {
				delete(labels, full)
			} else {
				labels[full] = pairs[i+1]
			}
		}
		spec["Labels"] = labels
	})
}

// answered is a condition: the manager's proxy answers a path with a status, to somebody with
// a password if header is not nil.
func (w *world) answered(path string, header http.Header, status int) func(context.Context) error {
	return func(ctx context.Context) error {
		var got int
		var err error
		if header == nil {
			got, _, err = w.Get(ctx, w.Nodes()[0], path)
		} else {
			res, _, failed := w.Ask(ctx, w.Nodes()[0], path, header) //nolint:bodyclose // Ask has closed it.
			if err = failed; err == nil {
				got = res.StatusCode
			}
		}
		if err == nil && got != status {
			err = fmt.Errorf("%s is answered %d, want %d", path, got, status)
		}
		return err
	}
}
