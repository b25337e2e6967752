package scalercase

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ServeHTTP is the Docker API as far as the scaler, and who writes the catalog, may use it.
func (s *swarm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.IndexByte(path[1:], '/')+1:]
	}
	if !s.enter(r) {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // who asked has gone
	}
	refuse := func(status int, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
	isService := strings.HasPrefix(path, "/services/")
	id := strings.TrimSuffix(strings.TrimPrefix(path, "/services/"), "/update")
	svc := s.find(id)
	switch {
	case path == "/_ping":
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Ostype", "linux")
		_, _ = io.WriteString(w, "OK")
	case path == "/version":
		reply(map[string]string{"ApiVersion": "1.51", "MinAPIVersion": "1.24", "Version": "28.5.2"})
	case path == "/info":
		reply(map[string]any{"Name": "n1", "Swarm": map[string]any{
			"NodeID": "node-n1", "LocalNodeState": "active", "ControlAvailable": true, "Cluster": map[string]any{"ID": "cluster"},
		}})
	case path == "/services":
		out := []any{}
		for _, name := range slices.Sorted(maps.Keys(s.services)) {
			out = append(out, s.services[name].value())
		}
		reply(out)
	case isService && svc == nil:
		refuse(http.StatusNotFound, "service "+id+" not found")
	case isService && r.Method == http.MethodGet:
		if s.isScaler(r) {
			svc.read[r.Header.Get(scalerSocket)] = svc.version
		}
		reply(svc.value())
	case isService && r.Method == http.MethodPost && strings.HasSuffix(path, "/update"):
		var spec map[string]any
		if json.Unmarshal(body, &spec) != nil {
			refuse(http.StatusBadRequest, "invalid JSON")
			return
		}
		q := r.URL.Query()
		if status, text := s.updateBy(svc, svc.read[r.Header.Get(scalerSocket)], q.Get("version"), q.Get("registryAuthFrom"), spec); status != http.StatusOK {
			refuse(status, text)
			return
		}
		reply(map[string]any{"Warnings": nil})
	case path == "/tasks":
		reply(s.taskList(r))
	case path == "/nodes":
		out := []any{}
		for _, n := range s.nodes {
			out = append(out, nodeValue(n))
		}
		reply(out)
	case path == "/networks":
		reply([]any{})
	default:
		s.fault("an unexpected call of Docker: %s %s", r.Method, r.URL)
		refuse(http.StatusNotFound, "page not found")
	}
}

// scalerSocket marks the calls of a scaler, by the header that its socket adds.
const scalerSocket = "X-Case-Scaler"

func (s *swarm) isScaler(r *http.Request) bool { return r.Header.Get(scalerSocket) != "" }

// enter counts a call of the scaler, and waits while nothing is answered. It is false if
// who called has given up.
func (s *swarm) enter(r *http.Request) bool {
	if !s.isScaler(r) {
		return true
	}
	s.mu.Lock()
	s.calls++
	hung := s.hung
	if hung != nil {
		s.waiting++
	}
	s.mu.Unlock()
	if hung == nil {
		return true
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting--
	}()
	select {
	case <-hung:
		return r.Context().Err() == nil
	case <-r.Context().Done():
		return false
	}
}

func (s *swarm) find(idOrName string) *service {
	if svc := s.services[idOrName]; svc != nil {
		return svc
	}
	for _, svc := range s.services {
		if svc.id == idOrName {
			return svc
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (svc *service) value() map[string]any {
	out := map[string]any{
		"ID": svc.id, "Version": map[string]any{"Index": svc.version}, "CreatedAt": stamp(svc.created), "UpdatedAt": stamp(svc.updated),
		"Spec": svc.spec, "Endpoint": map[string]any{"Spec": map[string]any{}},
	}
	if svc.previous != nil {
		out["PreviousSpec"] = svc.previous
	}
	if svc.update != "" {
		out["UpdateStatus"] = map[string]any{"State": svc.update, "StartedAt": stamp(svc.updated), "Message": svc.update}
	}
	return out
}

func nodeValue(name string) map[string]any {
	return map[string]any{
		"ID": "node-" + name, "Version": map[string]any{"Index": 10}, "Spec": map[string]any{"Role": "manager", "Availability": "active"},
		"Description": map[string]any{"Hostname": name, "Engine": map[string]any{"EngineVersion": "28.5.2"}},
		"Status":      map[string]any{"State": "ready", "Addr": "10.0.0.1"},
	}
}

// taskList is the answer to a question for tasks: of those services, and those desired.
func (s *swarm) taskList(r *http.Request) []any {
	var filters map[string]map[string]bool
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters) // none is none
	out := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		svc := s.services[name]
		if few := filters["service"]; len(few) > 0 && !few[svc.id] && !few[svc.name] {
			continue
		}
		for _, t := range svc.tasks {
			state, node := t.state, "node-"+t.node
			switch state {
			case failing:
				state = "starting" // it will not come further
			case pending:
				node = ""
			}
			out = append(out, map[string]any{
				"ID": t.id, "Version": map[string]any{"Index": t.version}, "CreatedAt": stamp(t.created), "UpdatedAt": stamp(t.created),
				"Spec": t.of, "ServiceID": svc.id, "Slot": t.slot, "NodeID": node, "DesiredState": "running",
				"Status": map[string]any{"Timestamp": stamp(t.created), "State": state, "Message": fmt.Sprint(state)},
			})
		}
	}
	return out
}
