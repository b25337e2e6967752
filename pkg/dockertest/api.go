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
	Version  = "GET /version"
	Info     = "GET /info"
	Services = "GET /services"
	Inspect  = "GET /services/{id}"
	Update   = "POST /services/{id}/update"
	Nodes    = "GET /nodes"
	Networks = "GET /networks"
	Tasks    = "GET /tasks"
	Events   = "GET /events"
)

var versionPrefix = regexp.MustCompile(`^/v[0-9]+\.[0-9]+`)

func (m *Manager) handler() http.Handler {
	r := chi.NewRouter()
	r.Head("/_ping", m.call(Ping, m.ping))
	r.Get("/_ping", m.call(Ping, m.ping))
	r.Get("/version", m.call(Version, m.version))
	r.Get("/info", m.call(Info, m.info))
	r.Get("/services", m.call(Services, m.managers(m.listServices)))
	r.Get("/services/{id}", m.call(Inspect, m.managers(m.inspect)))
	r.Post("/services/{id}/update", m.call(Update, m.managers(m.update)))
	r.Get("/nodes", m.call(Nodes, m.managers(m.listNodes)))
	r.Get("/networks", m.call(Networks, m.listNetworks))
	r.Get("/tasks", m.call(Tasks, m.managers(m.listTasks)))
	r.Get("/events", m.call(Events, m.events))
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		m.swarm.t.Errorf("unexpected call %s %s", r.Method, r.URL)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		prefix := versionPrefix.FindString(req.URL.Path)
		if why := m.refuses(prefix); why != "" {
			refuse(w, http.StatusBadRequest, why)
			return
		}
		req.URL.Path = strings.TrimPrefix(req.URL.Path, prefix)
		r.ServeHTTP(w, req)
	})
}

// call counts a call and breaks it if it is to be broken.
func (m *Manager) call(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m.swarm.mu.Lock()
		m.calls[name]++
		hang, hook := m.faults[name], m.hooks[name]
		broken, isBroken := m.answers[name]
		m.swarm.mu.Unlock()
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
func (m *Manager) managers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m.swarm.mu.Lock()
		control, state := m.control, m.state
		m.swarm.mu.Unlock()
		switch {
		case control:
			next(w, r)
		case state == "inactive":
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

func (m *Manager) ping(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	w.Header().Set("Api-Version", fmt.Sprintf("1.%d", m.most))
	w.Header().Set("Docker-Experimental", "false")
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
}

func (m *Manager) version(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	respond(w, map[string]any{
		"Version": "20.10.24", "ApiVersion": fmt.Sprintf("1.%d", m.most), "MinAPIVersion": fmt.Sprintf("1.%d", m.least), "Os": "linux", "Arch": "amd64",
	})
}

// refuses returns how the daemon refuses a version of the API, "" if it speaks it.
func (m *Manager) refuses(prefix string) string {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	var minor int
	if _, err := fmt.Sscanf(prefix, "/v1.%d", &minor); err != nil {
		return ""
	}
	switch {
	case minor < m.least:
		return fmt.Sprintf("client version 1.%d is too old. Minimum supported API version is 1.%d, please upgrade your client to a newer version", minor, m.least)
	case minor > m.most:
		return fmt.Sprintf("client version 1.%d is too new. Maximum supported API version is 1.%d", minor, m.most)
	}
	return ""
}

func (m *Manager) info(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	told := map[string]any{"NodeAddr": "10.97.0.11", "LocalNodeState": m.state, "ControlAvailable": m.control, "Error": ""}
	world := m.world()
	if n := world.nodes[m.hostname]; n != nil {
		told["NodeID"] = n.id
	}
	if m.control {
		told["Cluster"] = map[string]any{"ID": world.cluster, "Version": map[string]any{"Index": 10}}
	}
	respond(w, map[string]any{"Name": m.hostname, "Swarm": told})
}

func (m *Manager) listServices(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(m.world().services)) {
		out = append(out, m.world().services[id].value())
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

func (m *Manager) inspect(w http.ResponseWriter, r *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	svc := m.world().find(chi.URLParam(r, "id"))
	if svc == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("service %s not found", chi.URLParam(r, "id")))
		return
	}
	respond(w, svc.value())
}

func (m *Manager) update(w http.ResponseWriter, r *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	svc := m.world().find(chi.URLParam(r, "id"))
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var spec map[string]any
	switch {
	case m.past != nil:
		refuse(w, http.StatusInternalServerError, "rpc error: code = DeadlineExceeded desc = context deadline exceeded")
	case svc == nil:
		refuse(w, http.StatusNotFound, fmt.Sprintf("service %s not found", chi.URLParam(r, "id")))
	case err != nil || json.Unmarshal(body, &spec) != nil:
		refuse(w, http.StatusBadRequest, "invalid JSON")
	case r.URL.Query().Get("version") != strconv.FormatUint(svc.version, 10):
		refuse(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = update out of sequence")
	case r.URL.Query().Get("registryAuthFrom") == "previous-spec" && svc.previous == nil:
		refuse(w, http.StatusInternalServerError, "service does not have a previous spec")
	default:
		m.swarm.updates = append(m.swarm.updates, body)
		m.swarm.apply(svc, spec)
		respond(w, map[string]any{"Warnings": nil})
	}
}

func (m *Manager) listNodes(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	out := []any{}
	for i, name := range slices.Sorted(maps.Keys(m.world().nodes)) {
		n := m.world().nodes[name]
		value := map[string]any{
			"ID": n.id, "Version": map[string]any{"Index": n.version},
			"Spec": map[string]any{"Labels": n.labels, "Role": n.role, "Availability": n.availability},
			"Description": map[string]any{
				"Hostname": n.hostname,
				"Engine":   map[string]any{"EngineVersion": "20.10.24", "Labels": n.engineLabels},
				"Platform": map[string]any{"Architecture": "x86_64", "OS": "linux"}, "Resources": map[string]any{"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 << 30},
			},
			"Status": map[string]any{"State": n.state, "Addr": fmt.Sprintf("10.97.0.%d", 11+i)},
		}
		if n.role == "manager" {
			value["ManagerStatus"] = map[string]any{"Leader": name == "m1", "Reachability": "reachable", "Addr": fmt.Sprintf("10.97.0.%d:2377", 11+i)}
		}
		out = append(out, value)
	}
	respond(w, out)
}

func (m *Manager) listNetworks(w http.ResponseWriter, _ *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(m.world().networks)) {
		out = append(out, map[string]any{"Name": m.world().networks[id], "Id": id, "Scope": "swarm", "Driver": "overlay"})
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

func (m *Manager) listTasks(w http.ResponseWriter, r *http.Request) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	world, desired := m.world(), wanted(r, "desired-state")
	services := slices.Sorted(maps.Keys(world.services))
	if few := wanted(r, "service"); len(few) > 0 {
		services = nil
		for _, idOrName := range few {
			svc := world.find(idOrName)
			if svc == nil {
				refuse(w, http.StatusNotFound, fmt.Sprintf("service %s not found", idOrName))
				return
			}
			services = append(services, svc.id)
		}
	}
	var out []json.RawMessage
	for _, id := range services {
		svc := world.services[id]
		if svc.crashing && m.past == nil {
			m.swarm.crash(svc)
		}
		for i := range svc.tasks {
			t := &svc.tasks[i]
			if len(desired) > 0 && !slices.Contains(desired, t.Desired) {
				continue
			}
			if t.encoded == nil || t.encodedOf != svc.version {
				t.encoded, t.encodedOf = encode(m.taskValue(svc, *t)), svc.version
			}
			out = append(out, t.encoded)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "[")
	for i, t := range out {
		if i > 0 {
			_, _ = io.WriteString(w, ",")
		}
		_, _ = w.Write(t)
	}
	_, _ = io.WriteString(w, "]")
}

func (m *Manager) taskValue(svc *service, t task) map[string]any {
	attachments := []any{}
	for _, name := range slices.Sorted(maps.Keys(t.Addresses)) {
		attachments = append(attachments, map[string]any{
			"Network":   map[string]any{"ID": m.world().networkID(name), "Spec": map[string]any{"Name": name, "Scope": "swarm"}},
			"Addresses": []string{t.Addresses[name] + "/16"},
		})
	}
	template, _ := svc.spec["TaskTemplate"].(map[string]any)
	spec := maps.Clone(template)
	delete(spec, "Runtime") // the engine tells it of services alone
	status := map[string]any{"Timestamp": t.created.Format(time.RFC3339Nano), "State": t.State, "Message": t.State, "PortStatus": map[string]any{}}
	if t.Error != "" {
		status["Err"] = t.Error
	}
	return map[string]any{
		"ID": t.id, "Version": map[string]any{"Index": t.version},
		"CreatedAt": t.created.Format(time.RFC3339Nano), "UpdatedAt": t.created.Format(time.RFC3339Nano), "Labels": map[string]any{},
		"Spec": spec, "ServiceID": svc.id, "Slot": t.Slot, "NodeID": t.nodeID,
		"Status":       status,
		"DesiredState": t.Desired, "NetworksAttachments": attachments,
	}
}

func (m *Manager) events(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	m.swarm.mu.Lock()
	stream := make(chan []byte, 1000)
	m.streams[stream] = struct{}{}
	m.swarm.mu.Unlock()
	defer func() {
		m.swarm.mu.Lock()
		defer m.swarm.mu.Unlock()
		delete(m.streams, stream)
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
