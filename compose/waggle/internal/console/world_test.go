package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/console"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// swarm is a listener that tells of a swarm in memory.
type swarm struct {
	URL string

	mu      sync.Mutex // the test and the server share the rest
	now     time.Time
	picture picture.Picture
	events  []picture.Event
	turn    int
	changed chan struct{}
	// away makes it answer with an error. asked are the methods of all questions, base is
	// where the console answers.
	away  bool
	asked map[string]bool
	base  string
}

// methods are those by which it was asked.
func (s *swarm) methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.asked))
}

// newSwarm begins at noon of a day, so that pages are always the same.
func newSwarm(t testing.TB) *swarm {
	t.Helper()
	s := &swarm{now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), changed: make(chan struct{}), asked: map[string]bool{}}
	s.picture = picture.Picture{Bus: picture.Connected, Stack: "waggle", Tasks: map[string][]picture.Task{}, Decisions: map[string]picture.Decision{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// change changes the swarm, which is news for whoever waits.
func (s *swarm) change(how func(p *picture.Picture)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Second)
	how(&s.picture)
	s.turn++
	close(s.changed)
	s.changed = make(chan struct{})
}

// ServeHTTP answers as the listener does.
func (s *swarm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var out any
	s.mu.Lock()
	s.asked[r.Method] = true
	isAway := s.away
	s.mu.Unlock()
	if isAway {
		http.Error(w, `{"error": "the listener is out for lunch"}`, http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/v1/picture":
		s.tell(w, r)
		return
	case "/v1/events":
		out = map[string]any{"events": s.about(r.URL.Query().Get("service"))}
	default:
		out = map[string]any{}
	}
	_ = json.NewEncoder(w).Encode(out) // the console has gone
}

// tell answers with the picture, at once or when it is another one.
func (s *swarm) tell(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now()
	if text, ok := strings.CutPrefix(r.Header.Get("Prefer"), "wait="); ok {
		n, _ := strconv.Atoi(text) // 0 is no wait
		deadline = deadline.Add(time.Duration(n) * time.Second)
	}
	for {
		s.mu.Lock()
		tag, changed := fmt.Sprintf(`"%d"`, s.turn), s.changed
		s.picture.Time = s.now
		body, err := json.Marshal(s.picture)
		s.mu.Unlock()
		if tag != r.Header.Get("If-None-Match") {
			w.Header().Set("ETag", tag)
			if err == nil {
				_, err = w.Write(body)
			}
			if err != nil {
				panic(err)
			}
			return
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-timer.C:
			w.WriteHeader(http.StatusNotModified)
			return
		case <-r.Context().Done():
			timer.Stop()
			return
		case <-changed:
			timer.Stop()
		}
	}
}

func (s *swarm) about(service string) []picture.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []picture.Event{}
	for _, e := range s.events {
		if e.About(service) {
			out = append(out, e)
		}
	}
	return out
}

// open starts a console of the swarm and returns where it answers.
func (s *swarm) open(t testing.TB) string {
	t.Helper()
	c, err := console.New(console.Options{Listener: console.Listener{URL: s.URL}, From: console.ProxyOnly, Log: discard()})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, func(ctx context.Context) error {
		c.Follow(ctx)
		return ctx.Err()
	})
	server := httptest.NewServer(c.Handler())
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.base = server.URL
	return server.URL
}

// service is one with these labels, each "name=text" behind com.df., and as many tasks as
// replicas.
func service(p *picture.Picture, name string, replicas int, labels ...string) *catalog.Service {
	stack, _, _ := strings.Cut(name, "_")
	svc := catalog.Service{
		ID: "id-" + name, Name: name, Stack: stack, Mode: catalog.Replicated, Replicas: uint64(replicas), Networks: []string{"waggle"}, EndpointMode: "vip",
		Image: "registry.example.com/" + strings.ReplaceAll(name, "_", "/") + ":1.4.2", Labels: map[string]string{catalog.Notify: "true"}, CreatedAt: time.Date(2026, 10, 2, 9, 30, 0, 0, time.UTC),
	}
	for _, l := range labels {
		full, text, _ := strings.Cut(l, "=")
		svc.Labels[catalog.Prefix+full] = text
	}
	p.Services = append(p.Services, svc)
	for i := range replicas {
		p.Tasks[svc.ID] = append(p.Tasks[svc.ID], picture.Task{Task: catalog.Task{
			ID: fmt.Sprintf("%s-task-%d", name, i+1), Slot: i + 1, Node: fmt.Sprintf("node-%d", i%3+1), State: "running", Desired: "running",
			Addresses: map[string][]string{"waggle": {fmt.Sprintf("10.0.%d.%d", len(p.Services)/200, len(p.Services)%200+10+i)}},
		}})
	}
	for _, c := range []string{"proxy", "monitor", "scaler"} {
		says(p, c, name, catalog.StateApplied, "")
	}
	return &p.Services[len(p.Services)-1]
}

// says is what a component says of a service.
func says(p *picture.Picture, component, name string, state catalog.State, reason string) {
	for i := range p.Statuses {
		if s := &p.Statuses[i]; s.Component == component && s.Service == name {
			s.State, s.Reason = state, reason
			return
		}
	}
	p.Statuses = append(p.Statuses, picture.Status{Status: catalog.Status{Component: component, Instance: component + "-1", ServiceID: "id-" + name, Service: name, State: state, Reason: reason}})
}

// find is a service by its name.
func find(p *picture.Picture, name string) *catalog.Service {
	for i := range p.Services {
		if p.Services[i].Name == name {
			return &p.Services[i]
		}
	}
	panic("there is no " + name)
}

// whole is a Waggle that is well, on three nodes.
func whole(p *picture.Picture) {
	for i, role := range []string{"manager", "worker", "worker"} {
		p.Nodes = append(p.Nodes, catalog.Node{ID: fmt.Sprintf("node-%d", i+1), Hostname: fmt.Sprintf("node-%d", i+1), Role: role, Availability: "active", State: "ready", Address: fmt.Sprintf("192.0.2.%d", i+11)})
	}
	for _, c := range []string{"listener", "monitor", "scaler", "proxy", "proxy", "proxy"} {
		n := len(p.Of(c)) + 1
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: fmt.Sprintf("%s-%d", c, n), Revision: catalog.Revision{Epoch: "e", Sequence: 4711}, Hash: "5e7c19a04bd28f6e" + c, Version: "1.0.0"}, Heard: float64(n)})
	}
}

// many is a swarm of so many services that are well.
func many(n int) func(p *picture.Picture) {
	return func(p *picture.Picture) {
		whole(p)
		for i := range n {
			service(p, fmt.Sprintf("stack%02d_service%04d", i%20, i), 2, fmt.Sprintf("serviceDomain=s%d.example.com", i), "servicePath=/api", "port=8080",
				"scrapePort=8080", "alertName=mem", "alertIf=@service_mem_limit:0.8", "scaleMin=1", "scaleMax=4")
		}
	}
}
