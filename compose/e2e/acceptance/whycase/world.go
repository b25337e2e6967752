package whycase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	listener "github.com/wagglehq/waggle/listener/judge"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// address is where the listener of a case answers.
const address = "127.0.0.1:65070"

// settings are what a case has beside its steps.
type settings struct {
	Refs     []any                        `json:"refs"`
	Settings map[string]map[string]string `json:"settings"`
	Initial  [][]json.RawMessage          `json:"initial"`
	first    []acceptance.Step
}

func read(rest json.RawMessage) (acceptance.Open, error) {
	var s settings
	if err := acceptance.Strict(rest, &s); err != nil {
		return nil, err
	}
	for i, values := range s.Initial {
		step, err := firstOf(values)
		if err != nil {
			return nil, fmt.Errorf("initial step %d: %w", i+1, err)
		}
		s.first = append(s.first, step)
	}
	return s.open, nil
}

// said is a status that a step has told of.
type said struct {
	State               catalog.State
	Reason, Label, Hint string
	Old                 bool
	component, service  string
}

// health is how a component is.
type health struct {
	Heard  float64 `json:"heard_s"`
	Behind float64 `json:"behind_s"`
}

// world is what the steps of a case act upon.
type world struct {
	settings
	program string
	server  *http.Server
	// tail follows what happens, in a case that asks for it.
	tail *tail

	// mu guards what follows, because the program asks while a step waits for it.
	mu        sync.Mutex
	services  map[string]*service
	order     int
	revision  uint64
	nodes     map[string]catalog.Node
	tasks     map[string][]picture.Task
	said      map[string]said
	health    map[string]health
	isBusAway bool
	failure   string
	certs     map[string][]string
	secrets   []string
	probes    map[string]map[string]picture.Probe
	alerts    map[string]picture.Alert
	decisions map[string]picture.Decision
	happened  happenings
	accepted  map[string]map[string]catalog.Service
}

// service is one of the swarm, with what its entry's revision is.
type service struct {
	catalog.Service
	revision uint64
}

func (s settings) open(ctx context.Context, j acceptance.Job) (acceptance.World, error) {
	w := &world{
		settings: s, program: j.Programs[program], services: map[string]*service{}, tasks: map[string][]picture.Task{}, said: map[string]said{},
		health: map[string]health{}, certs: map[string][]string{}, secrets: []string{}, probes: map[string]map[string]picture.Probe{},
		alerts: map[string]picture.Alert{}, decisions: map[string]picture.Decision{},
		accepted: map[string]map[string]catalog.Service{"proxy": {}, "monitor": {}, "scaler": {}},
		happened: happenings{followers: map[chan picture.Event]bool{}},
		nodes:    map[string]catalog.Node{"n1": {ID: "n1", Hostname: "h1", Address: "192.0.2.1", Role: "manager", Availability: "active", State: "ready"}},
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return w, err
	}
	w.server = &http.Server{Handler: http.HandlerFunc(w.answer), ReadHeaderTimeout: time.Second}
	go w.server.Serve(l) //nolint:errcheck // it ends with the case
	for _, step := range s.first {
		if err := step.Do(ctx, w); err != nil {
			return w, err
		}
	}
	var c struct{ Steps [][]any }
	if err := json.Unmarshal(j.Case, &c); err != nil {
		return w, err
	}
	if slices.ContainsFunc(c.Steps, func(step []any) bool { return len(step) > 0 && step[0] == "tail" }) {
		return w, w.startTail(ctx)
	}
	return w, nil
}

// Alive has nothing to tell: the program is started anew for each question.
func (w *world) Alive() error { return nil }

// Log has nothing to tell either.
func (w *world) Log() string { return "" }

// Remove takes a service away.
func (w *world) Remove(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.services[name] == nil {
		return fmt.Errorf("there is no service %s", name)
	}
	for _, accepted := range w.accepted {
		delete(accepted, w.services[name].ID)
	}
	delete(w.services, name)
	delete(w.tasks, name)
	w.revision++
	return errors.Join(w.judge(), w.tell())
}

func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/events" {
		w.follow(rw, r)
		return
	}
	if r.URL.Path != "/v1/picture" {
		app.WriteError(rw, http.StatusNotFound, errors.New("there is no such path"))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.picture()
	if err != nil {
		app.WriteError(rw, http.StatusInternalServerError, err)
		return
	}
	app.WriteJSON(rw, http.StatusOK, p)
}

// snapshot is the swarm as it is on the bus.
func (w *world) snapshot() (catalog.Snapshot, error) {
	s := catalog.Snapshot{
		Revision: catalog.Revision{Epoch: "e", Sequence: w.revision}, Services: map[string]catalog.Service{}, Nodes: maps.Clone(w.nodes),
		Tasks: map[string][]catalog.Task{}, Revisions: map[string]uint64{},
	}
	for _, svc := range w.services {
		s.Services[svc.ID], s.Revisions[svc.ID] = svc.Service, svc.revision
		for _, t := range w.tasksOf(svc.Service) {
			if t.Desired == "running" {
				s.Tasks[svc.ID] = append(s.Tasks[svc.ID], t.Task)
			}
		}
	}
	_, large, err := catalog.EncodeAll(s)
	for _, l := range large {
		svc := w.services[l.Service]
		s.Services[svc.ID] = catalog.Stripped(svc.Service, l.Bytes)
	}
	return s, err
}

// tasksOf are those that a step told of, else all that there should be.
func (w *world) tasksOf(svc catalog.Service) []picture.Task {
	if told, ok := w.tasks[svc.Name]; ok {
		return told
	}
	count := int(svc.Replicas)
	if svc.Mode != catalog.Replicated {
		count = 1
	}
	var out []picture.Task
	for i := range count {
		out = append(out, picture.Task{Task: task(fmt.Sprintf("%s-%d", svc.ID, i), "n1", "running", "running", svc.Networks)})
	}
	return out
}

func task(id, node, state, desired string, networks []string) catalog.Task {
	t := catalog.Task{ID: id, Node: node, State: state, Desired: desired, Addresses: map[string][]string{}}
	for _, n := range networks {
		t.Addresses[n] = []string{"10.0.0.9"}
	}
	return t
}

// flags are the settings of a component by the names of their flags.
func (w *world) flags(component string) map[string]string {
	out := map[string]string{}
	for variable, text := range w.Settings[component] {
		out[strings.ToLower(strings.ReplaceAll(variable, "_", "-"))] = text
	}
	return out
}

// verdict is what a judge says of a service.
type verdict struct {
	catalog.Status
	// accepts says that its labels are in force from now on.
	accepts bool
}

// verdicts are those of all judges.
func (w *world) verdicts(s catalog.Snapshot) ([]verdict, error) {
	routes, errRoutes := proxy.Services(proxy.Question{Snapshot: s, Accepted: w.accepted["proxy"], Settings: w.flags("proxy"), Now: time.Now()})
	scrapes, errScrapes := monitor.Services(monitor.Question{Snapshot: s, Accepted: w.accepted["monitor"], Settings: w.flags("monitor")})
	scales, errScales := scaler.Services(scaler.Question{Snapshot: s, Accepted: w.accepted["scaler"], Settings: w.flags("scaler"), Now: time.Now()})
	var out []verdict
	for _, a := range routes {
		out = append(out, verdict{a.Status, a.State == catalog.StateAccepted})
	}
	for _, a := range scrapes {
		out = append(out, verdict{a.Status, len(a.Faults) == 0})
	}
	for _, a := range scales {
		out = append(out, verdict{a.Status, a.State == catalog.StateApplied})
	}
	return out, errors.Join(errRoutes, errScrapes, errScales)
}

// judge notes which labels are in force now, after a change.
func (w *world) judge() error {
	s, err := w.snapshot()
	if err != nil {
		return err
	}
	verdicts, err := w.verdicts(s)
	for _, v := range verdicts {
		if v.accepts {
			w.accepted[v.Component][v.ServiceID] = s.Services[v.ServiceID]
		}
	}
	return err
}

// statuses are those that the components would tell, unless a step has told others.
func (w *world) statuses(s catalog.Snapshot) ([]picture.Status, error) {
	verdicts, err := w.verdicts(s)
	var out []picture.Status
	for _, v := range verdicts {
		out = append(out, w.lived(v.Status, s))
	}
	for _, one := range w.said {
		svc := w.services[one.service]
		if svc == nil {
			continue
		}
		out = slices.DeleteFunc(out, func(o picture.Status) bool { return o.Component == one.component && o.ServiceID == svc.ID })
		out = append(out, picture.Status{Earlier: one.Old, Status: catalog.Status{
			Component: one.component, Instance: one.component, ServiceID: svc.ID, Service: svc.Name, State: one.State,
			Reason: one.Reason, Label: one.Label, Hint: one.Hint, Revision: s.RevisionOf(svc.ID),
		}})
	}
	return out, err
}

// lived is what becomes of a verdict where everything is in force.
func (w *world) lived(s catalog.Status, snapshot catalog.Snapshot) picture.Status {
	s.Instance = s.Component
	if s.State == catalog.StateAccepted {
		s.State = catalog.StateApplied
		if !slices.ContainsFunc(snapshot.Tasks[s.ServiceID], func(t catalog.Task) bool { return t.Running() && w.nodes[t.Node].State == "ready" }) {
			s.State, s.Reason = catalog.StateDegraded, "no task of the service runs"
		}
	}
	return picture.Status{Status: s}
}

// picture is what the listener answers.
func (w *world) picture() (picture.Picture, error) {
	s, err := w.snapshot()
	if err != nil {
		return picture.Picture{}, err
	}
	p := picture.Picture{
		Time: time.Now(), Bus: picture.Connected, Failure: w.failure, Stack: "waggle", Revision: s.Revision, Tasks: map[string][]picture.Task{},
		Accepted: map[string]map[string]catalog.Service{}, Certificates: w.certs, Secrets: w.secrets, Probes: map[string]map[string]picture.Probe{},
		Alerts: slices.Collect(maps.Values(w.alerts)), Decisions: w.decisions,
	}
	if w.isBusAway {
		p.Bus = "away"
	}
	for _, id := range slices.Sorted(maps.Keys(s.Services)) {
		svc := s.Services[id]
		p.Tasks[id] = w.tasksOf(svc)
		p.Probes[svc.Name] = w.probed(svc)
		hidden, err := listener.Hide(svc)
		if err != nil {
			return p, err
		}
		p.Services = append(p.Services, hidden)
	}
	slices.SortFunc(p.Services, func(a, b catalog.Service) int { return strings.Compare(a.Name, b.Name) })
	p.Nodes = slices.Collect(maps.Values(s.Nodes))
	for component, accepted := range w.accepted {
		p.Accepted[component] = map[string]catalog.Service{}
		for id, svc := range accepted {
			if p.Accepted[component][id], err = listener.Hide(svc); err != nil {
				return p, err
			}
		}
	}
	if p.Statuses, err = w.statuses(s); err != nil {
		return p, err
	}
	for _, component := range components() {
		h := w.health[component]
		p.Instances = append(p.Instances, picture.Instance{
			Instance: catalog.Instance{Component: component, Instance: component, Revision: s.Revision, Settings: w.flags(component)},
			Heard:    h.Heard, Behind: h.Behind,
		})
	}
	return p, nil
}

func components() []string { return []string{"listener", "proxy", "monitor", "scaler"} }

// probed is what a connection meets: what the labels ask for, unless a step says otherwise.
func (w *world) probed(svc catalog.Service) map[string]picture.Probe {
	out := map[string]picture.Probe{}
	for full, text := range svc.Labels {
		if strings.HasPrefix(full, catalog.Prefix+"port") {
			out[text], out["vip:"+text] = picture.Answers, picture.Answers
		}
	}
	maps.Copy(out, w.probes[svc.Name])
	return out
}
