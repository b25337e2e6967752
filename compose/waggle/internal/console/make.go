package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/waggle/internal/view"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/picture"
)

// How many events pages show.
const (
	lastOfService = 30
	lastOfAll     = 200
)

// sheet makes the page of an address.
func (c *Console) sheet(ctx context.Context, st state, u *url.URL) (*sheet, error) {
	s := &sheet{status: http.StatusOK, shelf: &c.shelf}
	if st.known == nil {
		s.Title, s.frame, s.status, s.Data = "No answer", "away", http.StatusServiceUnavailable, st.failure
		return s, addOne(s, "summary", "summary", "the listener has not answered yet")
	}
	k := st.known
	s.now = k.Picture().Time
	alarms := k.Alarms()
	if st.failure != "" {
		alarms = append([]view.Alarm{{State: why.Broken, Text: st.failure + "; what stands here is from " + view.Clock(k.Picture().Time, c.world.now()) + " UTC", Fix: "docker service ps of the listener, and its logs"}}, alarms...)
	}
	if err := addOne(s, "summary", "summary", k.Summary()); err != nil {
		return nil, err
	}
	if err := add(s, "alarms", "alarm", alarms); err != nil {
		return nil, err
	}
	return s, c.fill(ctx, s, st, u)
}

func (c *Console) fill(ctx context.Context, s *sheet, st state, u *url.URL) error {
	query := u.Query()
	switch name, isService := strings.CutPrefix(u.Path, "/services/"); {
	case u.Path == "/":
		return services(s, st.known, why.State(query.Get("state")))
	case isService && name != "":
		return c.service(ctx, s, st.known, name, query.Get("url"))
	case u.Path == "/routes":
		return routes(s, st.known, query.Get("url"))
	case u.Path == "/nodes":
		return nodes(s, st.known, query.Get("node"))
	case u.Path == "/decisions":
		return c.decisions(ctx, s)
	case u.Path == "/replicas":
		s.Title, s.Nav, s.frame = "Replicas of Waggle", "replicas", "replicas"
		return add(s, "replicas", "replica", st.known.Replicas())
	case u.Path == "/search":
		return search(s, st.known, query.Get("q"))
	}
	s.Title, s.frame, s.status, s.Data = "Not found", "missing", http.StatusNotFound, u.Path
	return nil
}

// filter is a link to the services in one state.
type filter struct {
	view.Count
	All, Current bool
}

// Key is that of its state.
func (f filter) Key() string { return "state-" + string(f.State) }

func services(s *sheet, k *view.Known, state why.State) error {
	if !slices.Contains(view.States(), state) {
		state = ""
	}
	s.Title, s.Nav, s.frame = "Services", "services", "services"
	filters := []filter{{Count: view.Count{N: len(k.Board)}, All: true, Current: state == ""}}
	for _, n := range k.Counts() {
		filters = append(filters, filter{Count: n, Current: state == n.State})
	}
	if err := add(s, "filters", "filter", filters); err != nil {
		return err
	}
	return add(s, "board", "line", k.Services(state))
}

// tried is what the field to try a URL shows.
type tried struct {
	Action, URL string
	Try         *view.Try
}

func (c *Console) service(ctx context.Context, s *sheet, k *view.Known, name, try string) error {
	s.Title, s.Nav, s.frame, s.ages = name, "services", "service", true
	told := view.Told{Samples: c.world.seen(name)}
	var failed []string
	if _, ok := k.Picture().ByName(name); ok {
		told.Events, failed = c.happened(ctx, name, lastOfService)
	}
	svc, ok := k.Service(name, told)
	if !ok {
		s.status, s.frame, s.Data = http.StatusNotFound, "gone", name
		return add(s, "found", "line", k.Search(name).Services)
	}
	s.Data = tried{Action: svc.Line.Path, URL: try}
	return all(
		func() error { return addOne(s, "heading", "heading", svc.Line) },
		func() error { return add(s, "ladder", "rung", svc.Rungs) },
		func() error { return addOne(s, "facts", "facts", svc) },
		func() error { return add(s, "routes", "route", svc.Routes) },
		func() error { return addTry(s, k, try) },
		func() error { return add(s, "tasks", "task", svc.Tasks) },
		func() error { return add(s, "targets", "target", svc.Jobs) },
		func() error { return add(s, "alerts", "alert", svc.Alerts) },
		func() error { return addOne(s, "scaling", "scaling", svc) },
		func() error { return add(s, "happened", "happened", view.Happenings(told.Events)) },
		func() error { return addOne(s, "unknown", "unknown", failed) },
	)
}

func addTry(s *sheet, k *view.Known, address string) error {
	if t := k.Try(address); t != nil {
		return addOne(s, "tried", "tried", t)
	}
	return add[single](s, "tried", "tried", nil)
}

func routes(s *sheet, k *view.Known, try string) error {
	s.Title, s.Nav, s.frame = "Routes and certificates", "routes", "routes"
	s.Data = tried{Action: "/routes", URL: try}
	expiries, isKnown := k.Expiries()
	var unknown []string
	if !isKnown {
		unknown = []string{"which certificates the proxy serves"}
	}
	return all(
		func() error { return addTry(s, k, try) },
		func() error { return addOne(s, "unknown", "unknown", unknown) },
		func() error { return add(s, "certificates", "certificate", expiries) },
		func() error { return add(s, "routes", "route", k.Routes()) },
	)
}

func nodes(s *sheet, k *view.Known, node string) error {
	s.Title, s.Nav, s.frame, s.Data = "Nodes and tasks", "nodes", "nodes", node
	return all(
		func() error { return add(s, "nodes", "node", k.Nodes()) },
		func() error { return add(s, "tasks", "task", k.Tasks(node)) },
	)
}

func (c *Console) decisions(ctx context.Context, s *sheet) error {
	s.Title, s.Nav, s.frame, s.ages = "Decisions of the scaler", "decisions", "decisions", true
	events, failed := c.happened(ctx, "", lastOfAll)
	return all(
		func() error { return addOne(s, "unknown", "unknown", failed) },
		func() error { return add(s, "decisions", "decision", view.Decisions(events)) },
		func() error { return add(s, "happened", "happened", view.Happenings(events)) },
	)
}

func search(s *sheet, k *view.Known, query string) error {
	s.Title, s.frame = "Search", "search"
	found := k.Search(query)
	s.Data = query
	return all(
		func() error { return add(s, "found", "line", found.Services) },
		func() error { return add(s, "nodes", "node", found.Nodes) },
	)
}

// happened is what happened last, or why that is not known.
func (c *Console) happened(ctx context.Context, service string, limit int) ([]picture.Event, []string) {
	events, err := c.world.listener.events(ctx, service, limit)
	if err != nil {
		return nil, []string{"what happened last: " + err.Error()}
	}
	return events, nil
}

// all does one after the other until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
