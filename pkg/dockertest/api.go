package dockertest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// The calls, as Break, Calls and Before name them.
const (
	Ping     = "GET /_ping"
	Info     = "GET /info"
	Services = "GET /services"
	Inspect  = "GET /services/{id}"
	Update   = "POST /services/{id}/update"
	Nodes    = "GET /nodes"
	Networks = "GET /networks"
	Tasks    = "GET /tasks"
	Events   = "GET /events"
)

// Calls returns how often a call was made.
func (s *Swarm) Calls(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

// Hang lets a call wait for its answer until Mend.
func (s *Swarm) Hang(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults[call] == nil {
		s.faults[call] = make(chan struct{})
	}
}

// Fail makes a call answer with an HTTP status and message until Mend.
func (s *Swarm) Fail(call string, status int, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[call] = answer{status: status, body: string(encode(map[string]string{"message": message}))}
}

// NoLeader makes the calls that need the swarm answer as they do while it has no leader.
func (s *Swarm) NoLeader() {
	for _, call := range []string{Services, Inspect, Update, Nodes, Tasks} {
		s.Fail(call, http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader. "+
			"It's possible that too few managers are online. Make sure more than half of the managers are online.")
	}
}

// Truncate makes a call's answer end in its middle until Mend.
func (s *Swarm) Truncate(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[call] = answer{cut: true}
}

// Replace makes a call answer with this body until Mend.
func (s *Swarm) Replace(call, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[call] = answer{status: http.StatusOK, body: body}
}

// Before calls f before each answer of a call, until Mend. f may change the swarm.
func (s *Swarm) Before(call string, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks[call] = f
}

// Mend ends what Hang, Fail, Truncate, Replace and Before began.
func (s *Swarm) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.faults {
		close(c)
	}
	clear(s.faults)
	clear(s.answers)
	clear(s.hooks)
}

// Leave makes the daemon a worker ("active") or one outside of any swarm ("inactive").
func (s *Swarm) Leave(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swarm = swarmState{state: state}
}

// CutEvents ends all streams of events.
func (s *Swarm) CutEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.streams {
		close(c)
		delete(s.streams, c)
	}
}

// DeafenEvents lets the present streams of events stay open without telling
// anything more, as a half-dead connection does.
func (s *Swarm) DeafenEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.streams)
}

// Listeners returns how many streams of events are open.
func (s *Swarm) Listeners() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// emit sends an event to all streams; a stream that does not read is cut.
func (s *Swarm) emit(kind, action, id, name string, more map[string]string) {
	attributes := map[string]string{"name": name}
	maps.Copy(attributes, more)
	event := append(encode(map[string]any{
		"Type": kind, "Action": action, "Actor": map[string]any{"ID": id, "Attributes": attributes},
		"scope": "swarm", "time": s.now.Unix(), "timeNano": s.now.UnixNano(),
	}), '\n')
	for c := range s.streams {
		select {
		case c <- event:
		default:
			close(c)
			delete(s.streams, c)
		}
	}
}

var versionPrefix = regexp.MustCompile(`^/v[0-9]+\.[0-9]+`)

func (s *Swarm) handler() http.Handler {
	r := chi.NewRouter()
	r.Head("/_ping", s.call(Ping, s.ping))
	r.Get("/_ping", s.call(Ping, s.ping))
	r.Get("/info", s.call(Info, s.info))
	r.Get("/services", s.call(Services, s.managers(s.listServices)))
	r.Get("/services/{id}", s.call(Inspect, s.managers(s.inspect)))
	r.Post("/services/{id}/update", s.call(Update, s.managers(s.update)))
	r.Get("/nodes", s.call(Nodes, s.managers(s.listNodes)))
	r.Get("/networks", s.call(Networks, s.listNetworks))
	r.Get("/tasks", s.call(Tasks, s.managers(s.listTasks)))
	r.Get("/events", s.call(Events, s.events))
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.t.Errorf("unexpected call %s %s", r.Method, r.URL) })
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.URL.Path = versionPrefix.ReplaceAllString(req.URL.Path, "")
		r.ServeHTTP(w, req)
	})
}

// call counts a call and breaks it if it is to be broken.
func (s *Swarm) call(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[name]++
		hang, hook := s.faults[name], s.hooks[name]
		broken, isBroken := s.answers[name]
		s.mu.Unlock()
		if hook != nil {
			hook()
		}
		if hang != nil {
			select {
			case <-hang:
			case <-r.Context().Done():
				return
			}
		}
		switch {
		case isBroken && broken.cut:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, `[{"ID":"svc`) // the server cuts the connection, since more was promised
		case isBroken:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(broken.status)
			_, _ = io.WriteString(w, broken.body)
		default:
			next(w, r)
		}
	}
}

// managers refuses a call as a daemon does that is no manager.
func (s *Swarm) managers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		is := s.swarm
		s.mu.Unlock()
		switch {
		case is.manager:
			next(w, r)
		case is.state == "inactive":
			refuse(w, http.StatusServiceUnavailable, `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
		default:
			refuse(w, http.StatusServiceUnavailable, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.")
		}
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func respond(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Swarm) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Docker-Experimental", "false")
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
}

func (s *Swarm) info(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	respond(w, map[string]any{"Swarm": map[string]any{
		"NodeAddr": "10.97.0.11", "LocalNodeState": s.swarm.state, "ControlAvailable": s.swarm.manager, "Error": "",
	}})
}

func (s *Swarm) listServices(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.services)) {
		out = append(out, s.services[id].value())
	}
	respond(w, out)
}

func (svc *service) value() map[string]any {
	out := map[string]any{
		"ID": svc.id, "Version": map[string]any{"Index": svc.version},
		"CreatedAt": svc.created.Format(time.RFC3339Nano), "UpdatedAt": svc.updated.Format(time.RFC3339Nano),
		"Spec": svc.spec, "Endpoint": map[string]any{"Spec": map[string]any{}},
	}
	if svc.previous != nil {
		out["PreviousSpec"] = svc.previous
	}
	if svc.updateState != "" {
		out["UpdateStatus"] = map[string]any{"State": svc.updateState, "StartedAt": svc.updated.Format(time.RFC3339Nano), "Message": svc.updateState}
	}
	return out
}

func (s *Swarm) inspect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(chi.URLParam(r, "id"))
	if svc == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("service %s not found", chi.URLParam(r, "id")))
		return
	}
	respond(w, svc.value())
}

func (s *Swarm) update(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(chi.URLParam(r, "id"))
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var spec map[string]any
	switch {
	case svc == nil:
		refuse(w, http.StatusNotFound, fmt.Sprintf("service %s not found", chi.URLParam(r, "id")))
	case err != nil || json.Unmarshal(body, &spec) != nil:
		refuse(w, http.StatusBadRequest, "invalid JSON")
	case r.URL.Query().Get("version") != strconv.FormatUint(svc.version, 10):
		refuse(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = update out of sequence")
	case r.URL.Query().Get("registryAuthFrom") == "previous-spec" && svc.previous == nil:
		refuse(w, http.StatusInternalServerError, "service does not have a previous spec")
	default:
		s.updates = append(s.updates, body)
		s.apply(svc, spec)
		respond(w, map[string]any{"Warnings": nil})
	}
}

func (s *Swarm) listNodes(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for i, name := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[name]
		out = append(out, map[string]any{
			"ID": n.id, "Version": map[string]any{"Index": n.version},
			"Spec": map[string]any{"Labels": n.labels, "Role": n.role, "Availability": n.availability},
			"Description": map[string]any{
				"Hostname": n.hostname,
				"Engine":   map[string]any{"EngineVersion": "20.10.24", "Labels": n.engineLabels},
			},
			"Status": map[string]any{"State": n.state, "Addr": fmt.Sprintf("10.97.0.%d", 11+i)},
		})
	}
	respond(w, out)
}

func (s *Swarm) listNetworks(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.networks)) {
		out = append(out, map[string]any{"Name": s.networks[id], "Id": id, "Scope": "swarm", "Driver": "overlay"})
	}
	respond(w, out)
}

// wanted returns the values of one filter, which clients send as a list or as a set.
func wanted(r *http.Request, name string) []string {
	var filters map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters); err != nil {
		return nil
	}
	var list []string
	if json.Unmarshal(filters[name], &list) == nil {
		return list
	}
	var set map[string]bool
	if json.Unmarshal(filters[name], &set) == nil {
		list = slices.Sorted(maps.Keys(set))
	}
	return list
}

func (s *Swarm) listTasks(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	services, desired := wanted(r, "service"), wanted(r, "desired-state")
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.services)) {
		svc := s.services[id]
		if len(services) > 0 && !slices.Contains(services, id) && !slices.Contains(services, nameOf(svc.spec)) {
			continue
		}
		for _, t := range svc.tasks {
			if len(desired) == 0 || slices.Contains(desired, t.Desired) {
				out = append(out, s.taskValue(svc, t))
			}
		}
	}
	respond(w, out)
}

func (s *Swarm) taskValue(svc *service, t task) map[string]any {
	attachments := []any{}
	for _, name := range slices.Sorted(maps.Keys(t.Addresses)) {
		attachments = append(attachments, map[string]any{
			"Network":   map[string]any{"ID": s.network(name), "Spec": map[string]any{"Name": name, "Scope": "swarm"}},
			"Addresses": []string{t.Addresses[name] + "/16"},
		})
	}
	template, _ := svc.spec["TaskTemplate"].(map[string]any)
	spec := maps.Clone(template)
	delete(spec, "Runtime") // the engine tells it of services alone
	return map[string]any{
		"ID": t.id, "Version": map[string]any{"Index": t.version},
		"CreatedAt": t.created.Format(time.RFC3339Nano), "UpdatedAt": t.created.Format(time.RFC3339Nano), "Labels": map[string]any{},
		"Spec": spec, "ServiceID": svc.id, "Slot": t.Slot, "NodeID": t.nodeID,
		"Status":       map[string]any{"Timestamp": t.created.Format(time.RFC3339Nano), "State": t.State, "Message": t.State, "PortStatus": map[string]any{}},
		"DesiredState": t.Desired, "NetworksAttachments": attachments,
	}
}

func (s *Swarm) events(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	s.mu.Lock()
	stream := make(chan []byte, 1000)
	s.streams[stream] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, stream)
	}()
	if flush.Flush() != nil {
		return
	}
	types := wanted(r, "type")
	for {
		select {
		case <-r.Context().Done():
			return
		case event, ok := <-stream:
			if !ok {
				return
			}
			if len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return strings.Contains(string(event), `"Type":"`+t+`"`) }) {
				continue
			}
			if _, err := w.Write(event); err != nil || flush.Flush() != nil {
				return
			}
		}
	}
}
