package sleep

import (
	"maps"
	"slices"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestWhoseConnectionsAreOpen: those that have reached a task or wait for one that is full,
// of services that may sleep.
func TestWhoseConnectionsAreOpen(t *testing.T) {
	services := []route.Service{
		{ID: "1", Name: "web", MaySleep: true, Backends: []route.Backend{
			{Name: "web-80", Sleeps: true}, {Name: "web-tcp", Stream: &route.StreamBackend{}}, {Name: "g", Sleeps: true, Share: route.Share{Group: "g", Member: "web_80"}},
		}},
		{ID: "2", Name: "awake", Backends: []route.Backend{{Name: "awake-80"}, {Name: "g", Share: route.Share{Group: "g", Member: "awake_80"}}}},
		{ID: "3", Name: "other", MaySleep: true, Backends: []route.Backend{{Name: "g", Sleeps: true, Share: route.Share{Group: "g", Member: "other_80"}}}},
		{ID: "file", Name: "operators", MaySleep: true, Backends: []route.Backend{{Name: "file-80", Sleeps: true}}},
	}
	s := Of(services, func(id string) bool { return id != "file" })
	if got := s.held["g"]; !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("requests of the group wake %q", got)
	}
	if s.held["web-80"] == nil || s.held["web-tcp"] != nil || s.held["awake-80"] != nil || s.held["file-80"] != nil {
		t.Errorf("who is woken: %q", s.held)
	}
	got := map[string]int{}
	s.count(got, []runtime.Traffic{
		{Proxy: render.Services, Server: runtime.FrontendRow, Open: 50},
		{Proxy: "web-80", Server: runtime.BackendRow, Open: 9, Queued: 2},
		{Proxy: "web-80", Server: "10.0.0.1", Open: 3, Queued: 1},
		{Proxy: "web-tcp", Server: "10.0.0.1", Open: 4},
		{Proxy: "awake-80", Server: "10.0.0.2", Open: 5},
		{Proxy: "g", Server: "web_80:10.0.0.1", Open: 1},
		{Proxy: "g", Server: render.GivenServer + "web_80:10.0.0.1", Open: 1},
		{Proxy: "g", Server: "awake_80:10.0.0.2", Open: 6},
		{Proxy: "g", Server: "other_80:10.0.0.3"},
		{Proxy: "file-80", Server: "10.0.0.4", Open: 7},
	})
	if want := map[string]int{"1": 12}; !maps.Equal(got, want) {
		t.Errorf("open are %v, want %v", got, want)
	}
}
