package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// at is a task at an address of the network waggle, or of another one.
func at(addr, state string, networks ...string) catalog.Task {
	return catalog.Task{State: state, Desired: "running", Addresses: map[string][]string{append(networks, "waggle")[0]: {addr}}}
}

// TestNeighbours: whose an address is, and where no host outside may be.
func TestNeighbours(t *testing.T) {
	rules, err := outbound.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbours{networks: []string{"waggle"}, outbound: rules, surroundings: Surroundings{
		Own:      []netip.Addr{netip.MustParseAddr("10.90.0.7"), netip.MustParseAddr("10.0.1.9")},
		Shared:   []netip.Prefix{netip.MustParsePrefix("10.90.0.0/16"), netip.MustParsePrefix("10.0.1.0/24")},
		Gateways: []netip.Addr{netip.MustParseAddr("172.18.0.1")}, Control: "waggle_control",
	}}
	alertmanager := at("10.0.1.5", "running", "waggle_control")
	monitor := at("10.90.0.8", "running")
	monitor.Addresses["waggle_control"] = []string{"10.0.1.8"}
	snapshot := catalog.Snapshot{
		Services: map[string]catalog.Service{
			"1": {ID: "1", Name: "shop_web", Networks: []string{"waggle"}}, "2": {ID: "2", Name: "waggle_alertmanager", Networks: []string{"waggle_control"}},
			"3": {ID: "3", Name: "waggle_monitor", Networks: []string{"waggle", "waggle_control"}}, "4": {ID: "4", Name: "late", Networks: []string{"waggle"}},
		},
		Tasks: map[string][]catalog.Task{
			"1": {at("10.90.0.20", "running"), at("10.90.0.21", "preparing")}, "2": {alertmanager}, "3": {monitor},
			// The catalog is older than the last of these.
			"4": {at("10.90.0.20", "running")},
		},
		Nodes: map[string]catalog.Node{"m1": {ID: "m1", Hostname: "m1", Address: "192.0.2.10"}, "w1": {ID: "w1", Hostname: "w1", Address: "0.0.0.0"}},
	}
	known := n.of(snapshot, true)
	for addr, want := range map[string]string{
		"10.90.0.20": "[late shop_web]", "10.90.0.21": "[shop_web]", "10.90.0.8": "[waggle_monitor]", "10.0.1.5": "[]", "10.90.0.22": "[]",
	} {
		if got := fmt.Sprint(known.Owners[netip.MustParseAddr(addr)]); got != want {
			t.Errorf("%s belongs to %s, want %s", addr, got, want)
		}
	}
	for addr, want := range map[string]string{
		"10.90.0.20": "", "198.51.100.7": "", "172.18.0.9": "",
		"127.0.0.1": "the proxy itself", "10.90.0.7": "the proxy itself", "::ffff:10.90.0.7": "the proxy itself", "172.18.0.1": "the node of the proxy",
		"192.0.2.10": "the node m1", "10.90.0.8": "waggle_monitor, which is on the control network",
		"10.0.1.5": "waggle_alertmanager, which is on the control network", "10.0.1.77": "on the control network",
	} {
		if got := known.Outside("some.example", netip.MustParseAddr(addr)); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	// The same holds for whom a label has asked about requests.
	forbidden := func(addr string) bool {
		return slices.ContainsFunc(n.forbidden, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(addr)) })
	}
	for addr, want := range map[string]bool{
		"10.90.0.20": false, "198.51.100.7": false, "127.0.0.1": true, "10.90.0.7": true, "172.18.0.1": true, "192.0.2.10": true, "10.90.0.8": true, "10.0.1.77": true,
	} {
		if got := forbidden(addr); got != want {
			t.Errorf("whether %s is forbidden: %t", addr, got)
		}
	}
	// Nothing is made anew for what it does not depend on.
	relabelled := snapshot
	relabelled.Services = map[string]catalog.Service{"1": snapshot.Services["1"]}
	if got := n.of(relabelled, false); got.Version != known.Version || got.Current {
		t.Errorf("version %d became %d", known.Version, got.Version)
	}
	moved := snapshot
	moved.Tasks = map[string][]catalog.Task{"1": {at("10.90.0.22", "running")}}
	if got := n.of(moved, true); got.Version == known.Version || len(got.Owners) != 1 {
		t.Errorf("%+v", got)
	}
	// Without a catalog nobody can tell the networks apart.
	if got := n.of(catalog.Snapshot{}, false).Outside("", netip.MustParseAddr("10.90.0.20")); !strings.Contains(got, "without the catalog") {
		t.Error(got)
	}
	// But services go on to be asked about requests.
	if forbidden("10.90.0.20") || !forbidden("10.90.0.7") {
		t.Errorf("without a catalog these are forbidden: %v", n.forbidden)
	}
}

// TestWhatTheCatalogKnowsOfAService is what an answer is judged by.
func TestWhatTheCatalogKnowsOfAService(t *testing.T) {
	svc := catalog.Service{ID: "1", Name: "web", Mode: catalog.Replicated, Replicas: 3}
	global := catalog.Service{ID: "1", Name: "web", Mode: catalog.Global}
	nodes := map[string]catalog.Node{"a": {}, "b": {}}
	two := map[string][]catalog.Task{"1": {at("10.0.0.2", "running"), at("10.0.0.3", "starting"), {State: "new", Desired: "running"}}}
	for _, c := range []struct {
		name    string
		svc     catalog.Service
		tasks   map[string][]catalog.Task
		cut     bool
		virtual bool
		want    addresses.Whose
	}{
		{"replicas", svc, two, false, false, addresses.Whose{Service: "web", Wanted: 3, Coming: 1, Listed: true}},
		{"tasks that are not listed yet", svc, nil, false, false, addresses.Whose{Service: "web", Wanted: 3}},
		{"global", global, two, false, false, addresses.Whose{Service: "web", Wanted: 3, Coming: 1, Listed: true}},
		{"global, not listed yet", global, nil, false, false, addresses.Whose{Service: "web", Wanted: 2}},
		{"a list that is cut", svc, two, true, false, addresses.Whose{Service: "web", Wanted: 3, Coming: 1, Listed: true, Open: true}},
		{"a virtual IP", svc, two, false, true, addresses.Whose{Service: "web", Wanted: 1}},
		{"a service of variables", catalog.Service{ID: "static-1", Name: "db", Mode: catalog.Global}, nil, false, false, addresses.Whose{}},
		{"a service that came over HTTP", catalog.Service{ID: "manual-db", Name: "db", Mode: catalog.Global}, nil, false, false, addresses.Whose{Service: "db", Wanted: 2, Open: true}},
	} {
		snapshot := catalog.Snapshot{Tasks: c.tasks, Nodes: nodes, Cut: map[string]int{}}
		if c.cut {
			snapshot.Cut["1"] = 4000
		}
		names := &targets{networks: []string{"waggle"}}
		if got := names.whose(c.svc, snapshot, c.tasks[c.svc.ID], c.virtual); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// refusing is a Follower that has an address of some names and refuses another.
type refusing struct{ resolved }

func (refusing) Refused(key string) []addresses.Refused {
	switch key {
	case "tasks.web.":
		return []addresses.Refused{{Addr: netip.MustParseAddr("10.0.0.66"), Owner: "evil"}, {Addr: netip.MustParseAddr("10.0.0.67")}}
	case "outbound rebinds.example.":
		return []addresses.Refused{{Addr: netip.MustParseAddr("127.0.0.1"), Forbidden: "127.0.0.1 is the proxy itself"}}
	}
	return nil
}

// TestStatusNamesRefusedAddresses: as a warning while the service has others, and as the
// reason if it has none.
func TestStatusNamesRefusedAddresses(t *testing.T) {
	s := newStage(t, func(_ *stage, o *Options) {
		o.Follower = refusing{resolved{"tasks.web.": netip.MustParseAddr("10.0.0.2"), "operator's rebinds.example.": netip.MustParseAddr("127.0.0.1")}}
		o.Surroundings.Gateways = []netip.Addr{netip.MustParseAddr("172.18.0.1")}
	})
	s.deploy("web", "servicePath", "/", "port", "80")
	s.deploy("rebinds", "servicePath", "/r", "port", "80", "outboundHostname", "rebinds.example")
	s.deploy("node", "servicePath", "/n", "port", "22", "outboundHostname", "172.18.0.1")
	s.deploy("self", "servicePath", "/s", "port", "8080", "outboundHostname", "::ffff:127.0.0.1")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"web": "applied : tasks.web means in DNS 10.0.0.66, which is not used: it is a task of evil, which has the name as an alias; " +
			"tasks.web means in DNS 10.0.0.67, which is not used: it is no task of web that the catalog knows",
		"rebinds": "degraded no task can be reached, requests are answered 503; rebinds.example means in DNS 127.0.0.1, which is not used: 127.0.0.1 is the proxy itself",
		"node":    "degraded no task can be reached, requests are answered 503; com.df.outboundHostname names 172.18.0.1, which is not used: 172.18.0.1 is the node of the proxy",
		"self":    "rejected com.df.outboundHostname",
	}
	for _, st := range s.View().Statuses() {
		got := fmt.Sprint(st.State, " ", st.Reason, ": ", strings.Join(st.Warnings, "; "))
		if !strings.HasPrefix(got, want[st.Service]) {
			t.Errorf("%s: %s\nwant %s", st.Service, got, want[st.Service])
		}
	}
	if strings.Contains(s.engine.text, "172.18.0.1") || strings.Contains(s.engine.text, "10.0.0.66") {
		t.Error(s.engine.text)
	}
}

// TestTheOperatorNamesWhatHeLikes: a host of his is no host of others'.
func TestTheOperatorNamesWhatHeLikes(t *testing.T) {
	b := route.Backend{Lookup: "rebinds.example.", Outbound: true}
	if a, b := key(route.Service{ID: "static-1"}, b), key(route.Service{ID: "1"}, b); a == b {
		t.Errorf("both are followed as %s", a)
	}
	names := &targets{neighbours: neighbours{}}
	names.neighbours.of(catalog.Snapshot{}, true)
	literal := route.Backend{Lookup: "127.0.0.1", Outbound: true}
	if got, _ := names.lookup(route.Service{ID: "static-1"}, literal); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("127.0.0.1")}) {
		t.Error(got)
	}
	if got, _ := names.lookup(route.Service{ID: "1"}, literal); len(got) > 0 {
		t.Error(got)
	}
}
