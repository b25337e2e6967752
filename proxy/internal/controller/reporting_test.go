package controller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestStatusWithoutTasks: requests for a service without tasks are answered 503, unless
// another of its group gets them.
func TestStatusWithoutTasks(t *testing.T) {
	service := func(name, group string) catalog.Service {
		texts := map[string]string{catalog.Notify: "true", "com.df.servicePath": "/" + group, "com.df.port": "80"}
		if group != "" {
			texts["com.df.serviceGroup"] = group
		}
		return catalog.Service{ID: name, Name: name, Labels: texts}
	}
	v := &View{
		Desired:   claims.Settle([]catalog.Service{service("alone", ""), service("blue", "shop"), service("green", "shop"), service("red", "none"), service("pink", "none")}, nil, labels.Options{}),
		Addresses: map[string][][]netip.Addr{"green": {{netip.MustParseAddr("10.0.0.2")}}},
	}
	want := map[string]string{"alone": "503", "blue": "the others of its com.df.serviceGroup", "green": "", "red": "503", "pink": "503"}
	for _, s := range v.Statuses() {
		if state := map[bool]catalog.State{true: catalog.StateApplied, false: catalog.StateDegraded}[want[s.Service] == ""]; s.State != state || !strings.Contains(s.Reason, want[s.Service]) {
			t.Errorf("%s is %s: %q, want %s because of %q", s.Service, s.State, s.Reason, state, want[s.Service])
		}
	}
}

// TestStatusOfAServiceThatSleeps: at 0 it is as it should be, and its status says what becomes
// of requests. With tasks to come, or by TCP, which wakes nobody, something is missing.
func TestStatusOfAServiceThatSleeps(t *testing.T) {
	service := func(name string, replicas uint64, more ...string) catalog.Service {
		texts := map[string]string{catalog.Notify: "true", "com.df.scaleMin": "0", "com.df.port": "80", "com.df.servicePath": "/" + name}
		for i := 0; i < len(more); i += 2 {
			texts[catalog.Prefix+more[i]] = more[i+1]
		}
		return catalog.Service{ID: name, Name: name, Mode: catalog.Replicated, Replicas: replicas, Labels: texts}
	}
	services := []catalog.Service{
		service("asleep", 0),
		service("woken", 1),
		service("grown", 0, "scaleMin", "1"),
		service("blue", 0, "serviceGroup", "shop", "servicePath", "/shop"),
		service("green", 2, "serviceGroup", "shop", "servicePath", "/shop"),
		service("tcp", 0, "reqMode", "tcp", "srcPort", "9000", "servicePath", ""),
	}
	v := &View{
		Desired:   claims.Settle(services, nil, labels.Options{}),
		Addresses: map[string][][]netip.Addr{"green": {{netip.MustParseAddr("10.0.0.2")}}},
	}
	want := map[string]string{
		"asleep": "applied it sleeps at 0 replicas: a request wakes it, and waits for a task for 20 s at most",
		"woken":  "degraded no task can be reached, requests wait for one for 20 s and are then answered 503",
		"grown":  "degraded no task can be reached, requests are answered 503",
		"blue":   "applied it sleeps at 0 replicas, the others of its com.df.serviceGroup get its share",
		"green":  "applied ",
		"tcp":    "degraded no task can be reached, requests are answered 503",
	}
	for _, s := range v.Statuses() {
		if got := string(s.State) + " " + s.Reason; got != want[s.Service] {
			t.Errorf("%s is %s, want %s", s.Service, got, want[s.Service])
		}
	}
}

// TestStatusOfWhatIsNotWhole: the reason names what is missing, and no text of a label
// that is not for everybody.
func TestStatusOfWhatIsNotWhole(t *testing.T) {
	texts := map[string]string{catalog.Notify: "true", "com.df.servicePath": "/", "com.df.port": "80", "com.df.users": "ann:geheim"}
	was := catalog.Service{ID: "1", Name: "web", Labels: texts}
	for _, c := range []struct {
		svc                 catalog.Service
		reason, label, hint string
	}{
		{catalog.Service{ID: "1", Name: "web", Labels: map[string]string{catalog.Notify: "true"}, Oversize: 70000}, "its labels take 70,000 bytes", "", "secrets or files"},
		{catalog.Service{ID: "1", Name: "web", Labels: map[string]string{catalog.Notify: "true"}, Withheld: map[string]string{"com.df.users": "m"}}, "the text of com.df.users has not arrived", "com.df.users", "comes by itself"},
	} {
		v := &View{
			Desired:  claims.Settle([]catalog.Service{c.svc}, map[string]catalog.Service{"1": was}, labels.Options{}),
			Snapshot: catalog.Snapshot{Revision: catalog.Revision{Epoch: "e", Sequence: 9}, Revisions: map[string]uint64{"1": 7}},
		}
		s := v.Statuses()[0]
		if s.State != catalog.StateRejected || !strings.HasPrefix(s.Reason, c.reason) || !strings.Contains(s.Reason, "stay in force") || s.Label != c.label || !strings.Contains(s.Hint, c.hint) {
			t.Errorf("%+v, want %q", s, c.reason)
		}
		if want := (catalog.Revision{Epoch: "e", Sequence: 7}); s.Revision != want {
			t.Errorf("judged %+v, want %+v", s.Revision, want)
		}
		if all, err := catalog.Encode(s); err != nil || strings.Contains(string(all), "geheim") {
			t.Errorf("%s, %v", all, err)
		}
	}
}

// TestStatusNamesTheIndexWithoutTasks: of a service whose destinations differ.
func TestStatusNamesTheIndexWithoutTasks(t *testing.T) {
	s := newStage(t)
	s.deploy("web", "port.1", "80", "servicePath.1", "/a", "port.2", "80", "servicePath.2", "/b", "outboundHostname.2", "gone.example")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := s.became(), "web degraded index 2: no task can be reached, requests are answered 503"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestStatusKeepsAllWarnings: who takes requests of a service is told beside the addresses that
// are not used.
func TestStatusKeepsAllWarnings(t *testing.T) {
	service := func(name string, more ...string) catalog.Service {
		texts := map[string]string{catalog.Notify: "true", "com.df.port": "80"}
		for i := 0; i < len(more); i += 2 {
			texts[catalog.Prefix+more[i]] = more[i+1]
		}
		return catalog.Service{ID: name, Name: name, Labels: texts}
	}
	there := [][]netip.Addr{{netip.MustParseAddr("10.0.0.2")}}
	v := &View{
		Desired: claims.Settle([]catalog.Service{
			service("shop", "serviceDomain", "shop.acme.com"),
			service("other", "servicePath", "/b", "aclName", "00"),
		}, nil, labels.Options{}),
		Addresses: map[string][][]netip.Addr{"shop": there, "other": there},
		Refused:   map[string][]string{"shop": {"an address"}},
	}
	for _, s := range v.Statuses() {
		if s.Service == "shop" && (s.State != catalog.StateApplied || len(s.Warnings) != 2 || !strings.Contains(s.Warnings[0], "other") || s.Warnings[1] != "an address") {
			t.Errorf("%s is %s, warned of %q, want other's route and an address", s.Service, s.State, s.Warnings)
		}
	}
}

// TestStatusTellsOfUsersThatAreMissing: a service that lets nobody in because a secret is
// missing says so.
func TestStatusTellsOfUsersThatAreMissing(t *testing.T) {
	service := func(name string) catalog.Service {
		return catalog.Service{ID: name, Name: name, Labels: map[string]string{
			catalog.Notify: "true", "com.df.port": "80", "com.df.servicePath": "/" + name, "com.df.usersSecret": name,
		}}
	}
	there := [][]netip.Addr{{netip.MustParseAddr("10.0.0.2")}}
	v := &View{
		Desired:   claims.Settle([]catalog.Service{service("a"), service("b")}, nil, labels.Options{}),
		Addresses: map[string][][]netip.Addr{"a": there, "b": there},
	}
	v.File.Faults = []string{v.Desired.Services[1].Backends[0].Handling.Access.Users.List + ": there is no secret dfp_users_b"}
	want := map[string]string{"a": "", "b": "there is no secret dfp_users_b"}
	for _, s := range v.Statuses() {
		if got := strings.Join(s.Warnings, "; "); s.State != catalog.StateApplied || got != want[s.Service] {
			t.Errorf("%s is %s, warned of %q, want %q", s.Service, s.State, got, want[s.Service])
		}
	}
}
