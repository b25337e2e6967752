package swarmcase

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/dockerapi"
)

type object = dockerapi.Object

// ServeHTTP answers one call of the API.
func (s *Swarm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := dockerapi.Path(r)
	if path == "/events" {
		s.events.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	faults := s.faults
	s.mu.Unlock()
	call := strings.TrimPrefix(path, "/")
	if strings.HasPrefix(path, "/services/") {
		call = "service"
	}
	switch {
	case slices.Contains(faults.Hang, call):
		<-r.Context().Done()
	case slices.Contains(faults.Fail, call):
		dockerapi.Answer(w, http.StatusInternalServerError, object{"message": faults.Message})
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answer(w, r, path)
	}
}

// answer answers a call that does not fail; mu is held.
func (s *Swarm) answer(w http.ResponseWriter, r *http.Request, path string) {
	if dockerapi.Greet(w, path) {
		return
	}
	all := []object{}
	switch {
	case path == "/info":
		dockerapi.Answer(w, http.StatusOK, object{"Name": "h1", "Swarm": object{
			"NodeID": "n1", "NodeAddr": "192.0.2.1", "LocalNodeState": "active", "ControlAvailable": true, "Error": "",
			"Cluster": object{"ID": "cluster000000000000000001", "Version": object{"Index": 10}},
		}})
		return
	case strings.HasPrefix(path, "/services/"):
		id := strings.TrimPrefix(path, "/services/")
		for _, svc := range s.services {
			if svc.id == id || svc.name == id {
				dockerapi.Answer(w, http.StatusOK, svc.value())
				return
			}
		}
		dockerapi.Answer(w, http.StatusNotFound, object{"message": "service " + id + " not found"})
		return
	case path == "/services":
		for _, svc := range s.byAge() {
			all = append(all, svc.value())
		}
	case path == "/nodes":
		for _, id := range slices.Sorted(maps.Keys(s.members)) {
			all = append(all, s.members[id].value())
		}
	case path == "/networks":
		names := map[string]bool{}
		for _, svc := range s.services {
			for _, name := range svc.networks {
				names[name] = true
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			all = append(all, object{"Name": name, "Id": "net-" + name, "Scope": "swarm", "Driver": "overlay"})
		}
	case path == "/tasks":
		all = dockerapi.Tasks(r, s.tasks())
	default:
		dockerapi.Answer(w, http.StatusNotFound, object{"message": "page not found: " + path})
		return
	}
	dockerapi.Answer(w, http.StatusOK, all)
}

func (svc *service) value() object {
	value := object{
		"ID": svc.id, "Version": object{"Index": svc.version}, "CreatedAt": dockerapi.Stamp(svc.created), "UpdatedAt": dockerapi.Stamp(svc.changed),
		"Spec": svc.spec(), "Endpoint": object{"Spec": object{}},
	}
	if svc.update != "" {
		value["UpdateStatus"] = object{"State": svc.update, "StartedAt": dockerapi.Stamp(svc.changed), "Message": svc.update}
	}
	if svc.job {
		value["JobStatus"] = object{"JobIteration": object{"Index": 1}}
	}
	return value
}

func (svc *service) spec() object {
	labels, container := object{}, object{}
	for name, text := range svc.labels {
		labels[name] = text
	}
	for name, text := range svc.containerLabels {
		container[name] = text
	}
	if svc.stack != "" {
		labels["com.docker.stack.namespace"], container["com.docker.stack.namespace"] = svc.stack, svc.stack
	}
	attached, env, ports := []any{}, []string{}, []any{}
	for _, name := range svc.networks {
		attached = append(attached, object{"Target": "net-" + name, "Aliases": []string{svc.name}})
	}
	for _, name := range slices.Sorted(maps.Keys(svc.env)) {
		env = append(env, name+"="+svc.env[name])
	}
	for _, published := range slices.Sorted(maps.Keys(svc.ports)) {
		n, _ := strconv.ParseUint(published, 10, 32)
		ports = append(ports, object{"Protocol": "tcp", "TargetPort": svc.ports[published], "PublishedPort": n, "PublishMode": "ingress"})
	}
	return object{
		"Name": svc.name, "Labels": labels, "Mode": svc.mode(), "EndpointSpec": object{"Mode": svc.endpoint, "Ports": ports},
		"TaskTemplate": object{
			"ContainerSpec": object{"Image": svc.image, "Labels": container, "Env": env, "Isolation": "default"},
			"Resources":     object{}, "Placement": object{}, "Networks": attached, "ForceUpdate": 0, "Runtime": "container",
		},
	}
}

func (svc *service) mode() object {
	switch {
	case svc.job && svc.global:
		return object{"GlobalJob": object{}}
	case svc.job:
		return object{"ReplicatedJob": object{"MaxConcurrent": svc.replicas, "TotalCompletions": svc.replicas}}
	case svc.global:
		return object{"Global": object{}}
	}
	return object{"Replicated": object{"Replicas": svc.replicas}}
}

// task is the i-th task of a service.
func (s *Swarm) task(svc *service, i int, t Task) object {
	attachments := []any{}
	for at, network := range svc.networks {
		address, ok := t.IP[network]
		if t.IP == nil {
			number, _ := strconv.Atoi(strings.TrimLeft(strings.TrimPrefix(svc.id, "service"), "0"))
			address, ok = fmt.Sprintf("10.%d.%d.%d", 100+at, number%250, i+2), true
		}
		if ok {
			attachments = append(attachments, object{
				"Network": object{"ID": "net-" + network, "Spec": object{"Name": network, "Scope": "swarm"}}, "Addresses": []string{address + "/16"},
			})
		}
	}
	status := object{"Timestamp": dockerapi.Stamp(svc.changed), "State": t.State, "Message": t.State, "PortStatus": object{}}
	if t.Error != "" {
		status["Err"] = t.Error
	}
	id := fmt.Sprintf("task%s-%d", strings.TrimPrefix(svc.id, "service"), i+1)
	if t.Exit != 0 {
		status["ContainerStatus"] = object{"ContainerID": "c-" + id, "ExitCode": t.Exit}
	}
	on := "n1"
	if t.Node != nil {
		on = *t.Node
	}
	value := object{
		"ID": id, "Version": object{"Index": svc.version}, "CreatedAt": dockerapi.Stamp(svc.changed), "UpdatedAt": dockerapi.Stamp(svc.changed), "Labels": object{},
		"Spec": svc.spec()["TaskTemplate"], "ServiceID": svc.id, "NodeID": on, "Status": status, "DesiredState": t.Desired,
		"NetworksAttachments": attachments,
	}
	if !svc.global {
		value["Slot"] = i + 1
	}
	if svc.job {
		value["JobIteration"] = object{"Index": 1}
	}
	return value
}

// tasks are those of all services, in the order of their age; mu is held.
func (s *Swarm) tasks() []object {
	all := []object{}
	for _, svc := range s.byAge() {
		for i, said := range s.tasksOf(svc) {
			all = append(all, s.task(svc, i, said))
		}
	}
	return all
}

func (n *node) value() object {
	labels, engine := object{}, object{}
	for name, text := range n.labels {
		labels[name] = text
	}
	for name, text := range n.engineLabels {
		engine[name] = text
	}
	value := object{
		"ID": n.id, "Version": object{"Index": n.version},
		"Spec": object{"Labels": labels, "Role": n.role, "Availability": n.availability},
		"Description": object{
			"Hostname": n.hostname, "Engine": object{"EngineVersion": "20.10.24", "Labels": engine},
			"Resources": object{"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 << 30},
		},
		"Status": object{"State": n.state, "Addr": n.address},
	}
	if n.role == "manager" {
		value["ManagerStatus"] = object{"Leader": n.id == "n1", "Reachability": "reachable", "Addr": n.address + ":2377"}
	}
	return value
}

// emit tells the streams of a change, unless they are to be silent; mu is held.
func (s *Swarm) emit(kind, action, id, name string) {
	if s.faults.Events != "deaf" {
		s.events.Emit(kind, action, id, name)
	}
}
