package monitorcase

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// dockerAddr is where the Docker API of a case answers.
const dockerAddr = "127.0.0.1:2375"

// docker is the API of a manager, in the shape of recorded answers. Unlike package
// dockertest it takes a swarm as it is, with IDs, ended tasks and all, and needs no test.
type docker struct {
	mu                       sync.Mutex
	services, nodes, network []any
	tasks                    []map[string]any
	index                    int
	noLeader                 bool
	streams                  map[chan []byte]bool
}

// serveDocker starts the API; it lasts until the process ends.
func serveDocker(ctx context.Context) (*docker, error) {
	d := &docker{streams: map[chan []byte]bool{}, index: 10}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", dockerAddr)
	if err != nil {
		return nil, err
	}
	go func() {
		_ = (&http.Server{Handler: d, ReadHeaderTimeout: 5 * time.Second}).Serve(ln) // the process's end is its end
	}()
	return d, nil
}

func (d *docker) leaderless(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noLeader = yes
}

// set makes the answers those about a swarm, and tells who listens that all has changed.
func (d *docker) set(s *swarm) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index++
	version := map[string]any{"Index": d.index}
	d.services, d.nodes, d.network, d.tasks = []any{}, []any{}, []any{}, []map[string]any{}
	networks := map[string]bool{}
	for _, m := range s.sorted() {
		spec := m.spec()
		value := map[string]any{
			"ID": m.id, "Version": version, "CreatedAt": stamp(m.created), "UpdatedAt": stamp(m.since),
			"Spec": spec, "Endpoint": map[string]any{"Spec": map[string]any{}},
		}
		if m.Update != nil {
			value["UpdateStatus"] = map[string]any{"State": m.Update.State, "StartedAt": stamp(m.since.Add(-m.Update.ago())), "Message": m.Update.State}
		}
		d.services = append(d.services, value)
		for _, n := range m.Networks {
			networks[n] = true
		}
		for i := range *m.Tasks {
			d.tasks = append(d.tasks, m.task(i, spec, version))
		}
		d.emit("service", m.id, m.Name)
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		d.nodes = append(d.nodes, s.nodes[id].value(version))
		d.emit("node", id, s.nodes[id].Hostname)
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		d.network = append(d.network, map[string]any{"Name": name, "Id": "net-" + name, "Scope": "swarm", "Driver": "overlay"})
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// spec is the specification of a service.
func (m *made) spec() map[string]any {
	labels, container := m.labels(), map[string]string{}
	if m.Stack != "" {
		labels["com.docker.stack.namespace"], container["com.docker.stack.namespace"] = m.Stack, m.Stack
	}
	attached := []any{}
	for _, n := range m.Networks {
		attached = append(attached, map[string]any{"Target": "net-" + n, "Aliases": []string{m.Name}})
	}
	resources := map[string]any{}
	if m.Reserve != nil {
		resources["Reservations"] = map[string]any{"NanoCPUs": int64(m.Reserve.CPUs * 1e9), "MemoryBytes": int64(m.Reserve.Memory)}
	}
	image := m.Image
	if image == "" {
		image = "app:1"
	}
	mode := map[string]any{"Replicated": map[string]any{"Replicas": *m.Replicas}}
	switch m.Mode {
	case "global":
		mode = map[string]any{"Global": map[string]any{}}
	case "global-job":
		mode = map[string]any{"GlobalJob": map[string]any{}}
	case "replicated-job":
		mode = map[string]any{"ReplicatedJob": map[string]any{"MaxConcurrent": *m.Replicas, "TotalCompletions": *m.Replicas}}
	}
	return map[string]any{
		"Name": m.Name, "Labels": labels, "Mode": mode, "EndpointSpec": map[string]any{"Mode": "vip"},
		"TaskTemplate": map[string]any{
			"ContainerSpec": map[string]any{"Image": image, "Labels": container, "Isolation": "default"},
			"Resources":     resources, "Placement": map[string]any{}, "Networks": attached, "ForceUpdate": 0, "Runtime": "container",
		},
	}
}

// task is one of a service's tasks.
func (m *made) task(i int, spec, version map[string]any) map[string]any {
	t := (*m.Tasks)[i]
	attachments := []any{}
	for _, network := range slices.Sorted(maps.Keys(t.Addresses)) {
		attachments = append(attachments, map[string]any{
			"Network":   map[string]any{"ID": "net-" + network, "Spec": map[string]any{"Name": network, "Scope": "swarm"}},
			"Addresses": []string{t.Addresses[network] + "/16"},
		})
	}
	status := map[string]any{"Timestamp": stamp(m.since), "State": t.State, "Message": t.State, "PortStatus": map[string]any{}}
	if t.Error != "" {
		status["Err"] = t.Error
	}
	if t.Exit != 0 {
		status["ContainerStatus"] = map[string]any{"ContainerID": "c-" + m.taskID(i), "ExitCode": t.Exit}
	}
	value := map[string]any{
		"ID": m.taskID(i), "Version": version, "CreatedAt": stamp(m.since), "UpdatedAt": stamp(m.since), "Labels": map[string]any{},
		"Spec": spec["TaskTemplate"], "ServiceID": m.id, "NodeID": *t.Node, "Status": status, "DesiredState": t.Desired,
		"NetworksAttachments": attachments,
	}
	if !strings.HasPrefix(m.Mode, "global") {
		value["Slot"] = t.Slot
	}
	return value
}

// value is the node.
func (n Node) value(version map[string]any) map[string]any {
	value := map[string]any{
		"ID": n.ID, "Version": version,
		"Spec": map[string]any{"Labels": prefixed(n.Labels), "Role": n.Role, "Availability": n.Availability},
		"Description": map[string]any{
			"Hostname": n.Hostname, "Engine": map[string]any{"EngineVersion": "20.10.24", "Labels": prefixed(n.Engine)},
			"Resources": map[string]any{"NanoCPUs": int64(n.CPUs * 1e9), "MemoryBytes": int64(n.Memory)},
		},
		"Status": map[string]any{"State": n.State, "Addr": n.Address},
	}
	if n.Role == "manager" {
		value["ManagerStatus"] = map[string]any{"Leader": n.ID == "n1", "Reachability": "reachable", "Addr": n.Address}
	}
	return value
}

// emit tells of a change. Swarm has no events of tasks.
func (d *docker) emit(kind, id, name string) {
	event, err := json.Marshal(map[string]any{
		"Type": kind, "Action": "update", "Actor": map[string]any{"ID": id, "Attributes": map[string]string{"name": name}},
		"scope": "swarm", "time": time.Now().Unix(), "timeNano": time.Now().UnixNano(),
	})
	if err != nil {
		return // it is made of texts
	}
	for stream := range d.streams {
		select {
		case stream <- append(event, '\n'):
		default: // it lists again anyway
		}
	}
}

// ServeHTTP answers one call.
func (d *docker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v1."); ok {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	if path == "/events" {
		d.events(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
		_, _ = w.Write([]byte("OK"))
		return
	case path == "/version":
		answer(w, http.StatusOK, map[string]any{"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"})
		return
	case d.noLeader:
		answer(w, http.StatusInternalServerError, map[string]string{"message": "rpc error: code = Unknown desc = The swarm does not have a leader. " +
			"It's possible that too few managers are online. Make sure more than half of the managers are online."})
		return
	}
	switch {
	case path == "/info":
		answer(w, http.StatusOK, map[string]any{"Name": "one", "Swarm": map[string]any{
			"NodeID": "n1", "NodeAddr": "10.97.0.11", "LocalNodeState": "active", "ControlAvailable": true, "Error": "",
			"Cluster": map[string]any{"ID": "cluster0000000000000000001", "Version": map[string]any{"Index": 10}},
		}})
	case path == "/services":
		answer(w, http.StatusOK, d.services)
	case strings.HasPrefix(path, "/services/"):
		id := strings.TrimPrefix(path, "/services/")
		for _, svc := range d.services {
			if svc.(map[string]any)["ID"] == id {
				answer(w, http.StatusOK, svc)
				return
			}
		}
		answer(w, http.StatusNotFound, map[string]string{"message": "service " + id + " not found"})
	case path == "/nodes":
		answer(w, http.StatusOK, d.nodes)
	case path == "/networks":
		answer(w, http.StatusOK, d.network)
	case path == "/tasks":
		answer(w, http.StatusOK, d.listed(r))
	default:
		answer(w, http.StatusNotFound, map[string]string{"message": "page not found: " + path})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; there is nobody to tell
}

// listed are the tasks that a call asks for.
func (d *docker) listed(r *http.Request) []map[string]any {
	var filters map[string]any
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters) // without filters all are meant
	keeps := func(name string, value any) bool {
		var words []string
		switch all := filters[name].(type) {
		case map[string]any:
			words = slices.Collect(maps.Keys(all))
		case []any:
			for _, one := range all {
				words = append(words, fmt.Sprint(one))
			}
		}
		return len(words) == 0 || slices.Contains(words, fmt.Sprint(value))
	}
	out := []map[string]any{}
	for _, t := range d.tasks {
		if keeps("desired-state", t["DesiredState"]) && keeps("service", t["ServiceID"]) && keeps("node", t["NodeID"]) && keeps("id", t["ID"]) {
			out = append(out, t)
		}
	}
	return out
}

// events tells of changes until the client goes.
func (d *docker) events(w http.ResponseWriter, r *http.Request) {
	stream := make(chan []byte, 1000)
	d.mu.Lock()
	d.streams[stream] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.streams, stream)
	}()
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	for flush.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case event := <-stream:
			if _, err := w.Write(event); err != nil {
				return
			}
		}
	}
}
