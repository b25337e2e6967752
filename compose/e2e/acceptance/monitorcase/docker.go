package monitorcase

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/dockerapi"
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
	events                   dockerapi.Events
}

// serveDocker starts the API; it lasts until the process ends.
func serveDocker(ctx context.Context) (*docker, error) {
	d := &docker{index: 10}
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
			"ID": m.id, "Version": version, "CreatedAt": dockerapi.Stamp(m.created), "UpdatedAt": dockerapi.Stamp(m.since),
			"Spec": spec, "Endpoint": map[string]any{"Spec": map[string]any{}},
		}
		if m.Update != nil {
			value["UpdateStatus"] = map[string]any{"State": m.Update.State, "StartedAt": dockerapi.Stamp(m.since.Add(-m.Update.ago())), "Message": m.Update.State}
		}
		d.services = append(d.services, value)
		for _, n := range m.Networks {
			networks[n] = true
		}
		for i := range *m.Tasks {
			d.tasks = append(d.tasks, m.task(i, spec, version))
		}
		d.events.Emit("service", "update", m.id, m.Name)
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		d.nodes = append(d.nodes, s.nodes[id].value(version))
		d.events.Emit("node", "update", id, s.nodes[id].Hostname)
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		d.network = append(d.network, map[string]any{"Name": name, "Id": "net-" + name, "Scope": "swarm", "Driver": "overlay"})
	}
}

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
	status := map[string]any{"Timestamp": dockerapi.Stamp(m.since), "State": t.State, "Message": t.State, "PortStatus": map[string]any{}}
	if t.Error != "" {
		status["Err"] = t.Error
	}
	if t.Exit != 0 {
		status["ContainerStatus"] = map[string]any{"ContainerID": "c-" + m.taskID(i), "ExitCode": t.Exit}
	}
	value := map[string]any{
		"ID": m.taskID(i), "Version": version, "CreatedAt": dockerapi.Stamp(m.since), "UpdatedAt": dockerapi.Stamp(m.since), "Labels": map[string]any{},
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

// ServeHTTP answers one call.
func (d *docker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := dockerapi.Path(r)
	switch {
	case path == "/events":
		d.events.ServeHTTP(w, r)
		return
	case dockerapi.Greet(w, path):
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noLeader {
		dockerapi.Answer(w, http.StatusInternalServerError, map[string]string{"message": "rpc error: code = Unknown desc = The swarm does not have a leader. " +
			"It's possible that too few managers are online. Make sure more than half of the managers are online."})
		return
	}
	switch {
	case path == "/info":
		dockerapi.Answer(w, http.StatusOK, map[string]any{"Name": "one", "Swarm": map[string]any{
			"NodeID": "n1", "NodeAddr": "10.97.0.11", "LocalNodeState": "active", "ControlAvailable": true, "Error": "",
			"Cluster": map[string]any{"ID": "cluster0000000000000000001", "Version": map[string]any{"Index": 10}},
		}})
	case path == "/services":
		dockerapi.Answer(w, http.StatusOK, d.services)
	case strings.HasPrefix(path, "/services/"):
		id := strings.TrimPrefix(path, "/services/")
		for _, svc := range d.services {
			if svc.(map[string]any)["ID"] == id {
				dockerapi.Answer(w, http.StatusOK, svc)
				return
			}
		}
		dockerapi.Answer(w, http.StatusNotFound, map[string]string{"message": "service " + id + " not found"})
	case path == "/nodes":
		dockerapi.Answer(w, http.StatusOK, d.nodes)
	case path == "/networks":
		dockerapi.Answer(w, http.StatusOK, d.network)
	case path == "/tasks":
		dockerapi.Answer(w, http.StatusOK, dockerapi.Tasks(r, d.tasks))
	default:
		dockerapi.Answer(w, http.StatusNotFound, map[string]string{"message": "page not found: " + path})
	}
}
