// Package why tells of a service, or of a URL, on which rung of the way from label to
// effect something is wrong, and what would mend it. It is pure.
package why

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	listener "github.com/wagglehq/waggle/listener/judge"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// State is how a rung is.
type State string

// The states of a rung.
const (
	OK     State = "ok"
	Broken State = "broken"
	// Warn is for what is odd and breaks nothing, Wait for what cannot be told yet.
	Warn State = "warn"
	Wait State = "wait"
	// None: not asked for.
	None State = "none"
)

// Rung is one step of the way.
type Rung struct {
	Rung  string `json:"rung"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Fix   string `json:"fix"`
}

// Other is a service that asks for a route and does not get the requests of a URL.
type Other struct {
	Service string      `json:"service"`
	Fails   proxy.Fails `json:"fails"`
}

// Answer is the whole way.
type Answer struct {
	// Service is nil for a URL that leads to nobody.
	Service     *string `json:"service"`
	FirstBroken string  `json:"first_broken"`
	Rungs       []Rung  `json:"rungs"`
	Others      []Other `json:"others,omitempty"`
}

// said finishes an answer.
func said(service *string, rungs []Rung, others []Other) Answer {
	a := Answer{Service: service, Rungs: rungs, Others: others}
	if i := slices.IndexFunc(rungs, func(r Rung) bool { return r.State == Broken }); i >= 0 {
		a.FirstBroken = rungs[i].Rung
	}
	return a
}

// world is a picture with what the judges say of it.
type world struct {
	picture.Picture
	placed  map[string]listener.Answer
	routes  map[string]proxy.Answer
	scrapes map[string]monitor.Answer
	scales  map[string]scaler.Answer
	// said are the statuses, by ID of the service.
	said map[string][]picture.Status
}

// Settings are those that the newest instance of a component says.
func Settings(p picture.Picture, component string) map[string]string {
	var out map[string]string
	heard := -1.0
	for _, i := range p.Of(component) {
		if heard < 0 || i.Heard < heard {
			out, heard = i.Settings, i.Heard
		}
	}
	return out
}

func (w *world) question() proxy.Question {
	return proxy.Question{Snapshot: w.Snapshot(), Accepted: w.AcceptedBy("proxy"), Settings: Settings(w.Picture, "proxy"), Now: w.Time}
}

func judged(p picture.Picture) (*world, error) { return new(Court).judged(p) }

func (c *Court) judged(p picture.Picture) (*world, error) {
	w := &world{Picture: p, routes: map[string]proxy.Answer{}, scrapes: map[string]monitor.Answer{}, said: map[string][]picture.Status{}}
	for _, s := range p.Statuses {
		w.said[s.ServiceID] = append(w.said[s.ServiceID], s)
	}
	snapshot := w.Snapshot()
	var (
		routes  []proxy.Answer
		scrapes []monitor.Answer
	)
	err := together(
		func() (err error) {
			w.placed, err = c.place(named(p))
			return err
		},
		func() (err error) {
			routes, err = c.proxy.Services(w.question())
			return of("proxy", err)
		},
		func() (err error) {
			scrapes, err = c.monitor.Services(monitor.Question{Snapshot: snapshot, Accepted: w.AcceptedBy("monitor"), Settings: Settings(p, "monitor")})
			return of("monitor", err)
		},
		func() (err error) {
			w.scales, err = c.scale(scaler.Question{Snapshot: snapshot, Accepted: w.AcceptedBy("scaler"), Settings: Settings(p, "scaler"), Now: w.Time})
			return of("scaler", err)
		},
	)
	if err != nil {
		return nil, err
	}
	for _, a := range routes {
		w.routes[a.ServiceID] = a
	}
	for _, a := range scrapes {
		w.scrapes[a.ServiceID] = a
	}
	return w, nil
}

// of says whose settings an error is about.
func of(component string, err error) error {
	if err != nil {
		return fmt.Errorf("settings of %s: %w", component, err)
	}
	return nil
}

// together asks several at once: each takes a while where there are many services, and they
// know nothing of each other.
func together(questions ...func() error) error {
	errs := make([]error, len(questions))
	var asked sync.WaitGroup
	for i, ask := range questions {
		asked.Go(func() { errs[i] = ask() })
	}
	asked.Wait()
	return errors.Join(errs...)
}

// named is the swarm with the names of withheld labels, for whoever judges names alone.
func named(p picture.Picture) catalog.Snapshot {
	s := p.Snapshot()
	for _, svc := range p.Services {
		if len(svc.Withheld) == 0 {
			continue
		}
		labels := maps.Clone(svc.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		for full := range svc.Withheld {
			labels[full] = ""
		}
		svc.Labels, svc.Withheld = labels, nil
		s.Services[svc.ID] = svc
	}
	return s
}

// Service answers for a service of this full name.
func Service(p picture.Picture, name string) (Answer, error) {
	w, err := judged(p)
	if err != nil {
		return Answer{}, err
	}
	svc, ok := p.ByName(name)
	return w.service(name, svc, ok), nil
}

// service answers for a service, which may not be there.
func (w *world) service(name string, svc catalog.Service, ok bool) Answer {
	rungs := []Rung{w.listed(name, ok)}
	if !ok {
		return said(&name, rungs, nil)
	}
	if rung := w.optedIn(svc); rung.State == Broken {
		rungs = append(rungs, rung)
		for _, r := range []string{"labels", "network", "route", "applied"} {
			rungs = append(rungs, Rung{Rung: r, State: None})
		}
		tasks := Rung{Rung: "tasks", State: None}
		if len(w.Tasks[svc.ID]) > 0 {
			// The listener tells no others of a service that has not opted in.
			tasks = w.tasks(svc)
		}
		rungs = append(rungs, tasks)
		for _, r := range []string{"reach", "scrape", "alert", "scale"} {
			rungs = append(rungs, Rung{Rung: r, State: None})
		}
		return said(&name, rungs, nil)
	}
	tasks := w.tasks(svc)
	rungs = append(rungs, w.optedIn(svc), w.labels(svc), w.network(svc), w.route(svc), w.applied(svc), tasks,
		w.reach(svc, tasks), w.scrape(svc), w.alert(svc), w.scale(svc))
	return said(&name, rungs, nil)
}

// listed says whether the swarm is seen, and the service in it.
func (w *world) listed(name string, found bool) Rung {
	r := Rung{Rung: "listed", State: OK}
	switch {
	case w.Bus != picture.Connected:
		r.State, r.Text, r.Fix = Broken, "the bus (NATS) is away: what follows is from before", "docker service ps of the listener or of NATS, and their logs"
	case w.Failure != "":
		r.State, r.Text, r.Fix = Broken, w.Failure, "docker node ls: the listener needs a manager that answers"
	case !found:
		r.State, r.Text, r.Fix = Broken, "there is no service "+label.Show(name, false)+" in the swarm", "docker service ls"
		if similar := w.resembling(name); len(similar) > 0 {
			r.Text += ": is " + strings.Join(similar, " or ") + " meant?"
			r.Fix = "ask by the full name, with the stack before it: " + similar[0]
		}
	default:
		r.Text = "the swarm has a service " + name
	}
	return r
}

// mostSimilar is how many similar names are told.
const mostSimilar = 5

func (w *world) resembling(name string) []string {
	var out []string
	for _, svc := range w.Services {
		if strings.HasSuffix(svc.Name, "_"+name) || strings.EqualFold(svc.Name, name) || svc.CalledName() == name {
			out = append(out, svc.Name)
		}
	}
	return out[:min(len(out), mostSimilar)]
}

func (w *world) optedIn(svc catalog.Service) Rung {
	r := Rung{Rung: "opted-in", State: OK, Text: catalog.Notify + "=true"}
	a, known := w.placed[svc.ID]
	switch {
	case svc.OptedIn():
	case !known:
		r.State, r.Text = Broken, "the service has no label under "+catalog.Prefix
		r.Fix = "set " + catalog.Notify + "=true under deploy.labels"
	default:
		r.State, r.Text, r.Fix = Broken, a.Reason, a.Hint
		if strings.HasPrefix(a.Label, catalog.Notify) && len(a.Misplaced) == 0 {
			r.Fix = "set " + catalog.Notify + "=true under deploy.labels"
		}
	}
	return r
}

// asks reports whether the service has labels whose names begin so, behind com.df.
func asks(svc catalog.Service, beginnings ...string) bool {
	for full := range svc.Labels {
		name := strings.TrimPrefix(full, catalog.Prefix)
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(name, b) }) {
			return true
		}
	}
	return false
}

// asksRoute reports whether the service has labels for a route.
func (w *world) asksRoute(svc catalog.Service) bool {
	if a, ok := w.routes[svc.ID]; ok {
		return a.State != catalog.StateIgnored
	}
	return w.isElsewhere(svc)
}

func (w *world) labels(svc catalog.Service) Rung {
	var faults, fixes, warnings, instead []string
	fault := func(text, fix string) { faults, fixes = append(faults, text), append(fixes, fix) }
	a, placed := w.routes[svc.ID], w.placed[svc.ID]
	if svc.Oversize > 0 {
		fault(svc.Fits().Error()+" (64 kB)", "shorten the labels: "+(&catalog.OversizeError{}).Hint())
		if a.State == catalog.StateRejected && len(a.Routes) > 0 {
			faults[0] += " (the labels last accepted stay in force)"
		}
	} else if a.Cause == proxy.CauseLabels {
		fault(a.Reason, a.Hint)
	}
	if s, ok := w.status("proxy", svc); ok && len(faults) == 0 && s.State == catalog.StateRejected && s.Label != "" && a.State != catalog.StateRejected && !s.Earlier {
		fault(s.Reason, s.Hint)
	}
	for _, u := range placed.Unknown {
		if u.Mistyped() {
			fault("the label "+u.Label+" is not known and has no effect", "call it "+u.Nearest)
		} else {
			warnings, instead = append(warnings, "the label "+u.Label+" is not known and has no effect"), append(instead, "remove it, or see the list of labels")
		}
	}
	for _, u := range a.Uncertified {
		warnings, instead = append(warnings, u.Reason), append(instead, u.Hint)
	}
	for _, full := range placed.Misplaced {
		fault(label.OnContainer(full).Reason, label.MoveToService)
	}
	if len(faults) == 0 && !scaler.SpeaksOfMoves(svc) && !w.asksRoute(svc) && !w.isElsewhere(svc) && !asks(svc, "scrape", "alert", "scale", "metrics") && len(svc.Withheld) == 0 {
		fault("the labels ask for nothing", "set com.df.servicePath or com.df.serviceDomain for a route, com.df.scrapePort, com.df.alertName or com.df.scaleMax")
	}
	switch {
	case len(faults) > 0:
		return Rung{"labels", Broken, strings.Join(faults, "; "), strings.Join(slices.Compact(fixes), "; ")}
	case len(warnings) > 0:
		return Rung{"labels", Warn, strings.Join(warnings, "; "), strings.Join(slices.Compact(instead), "; ")}
	}
	return Rung{"labels", OK, fmt.Sprintf("%d labels", len(svc.Labels)+len(svc.Withheld)), ""}
}

func (w *world) network(svc catalog.Service) Rung {
	a := w.routes[svc.ID]
	on := strings.Join(svc.Networks, ", ")
	switch {
	case a.Cause == proxy.CauseNetwork:
		return Rung{"network", Broken, a.Reason, a.Hint}
	case len(w.scrapes[svc.ID].Jobs) > 0 || asks(svc, "scrapePort"):
		wanted := strings.FieldsFunc(text(Settings(w.Picture, "monitor"), monitor.Network, monitor.DefaultNetwork), func(r rune) bool { return r == ',' || r == ' ' })
		if !slices.ContainsFunc(wanted, func(n string) bool { return slices.Contains(svc.Networks, n) }) {
			return Rung{"network", Broken, fmt.Sprintf("%s is on %s, and Prometheus is on %s", svc.Name, on, strings.Join(wanted, ", ")),
				fmt.Sprintf("networks: [%[1]s], with networks: {%[1]s: {external: true}} at the end of the stack file", wanted[0])}
		}
	case !w.asksRoute(svc):
		return Rung{"network", None, "", ""}
	}
	return Rung{"network", OK, "on " + on, ""}
}

// text is a setting, or what holds without it.
func text(settings map[string]string, name, usual string) string {
	if t, ok := settings[name]; ok {
		return t
	}
	return usual
}
