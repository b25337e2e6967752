package proxy

import (
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestAReloadIsToldWithItsReason: in words, and with the services because of which it was.
func TestAReloadIsToldWithItsReason(t *testing.T) {
	services := []route.Service{
		{Name: "web", Routes: []route.Route{{Backend: "web-1"}, {Backend: "web-2"}}},
		{Name: "api", Routes: []route.Route{{Backend: "api-1"}}},
		{Name: "db", Streams: []route.Stream{{Backend: "db-1"}}},
	}
	for _, c := range []struct {
		reason   string
		backends []string
		text     string
		services []string
	}{
		{"backend", []string{"db-1", "web-2"}, "something that no other does", []string{"db", "web"}},
		{"frame", nil, "all services share", nil},
		{"eclipse", []string{"gone-1"}, "eclipse", nil},
	} {
		e := reloadEvent("p1", c.reason, c.backends, services)
		if e.Kind != catalog.EventReload || e.Instance != "p1" || !strings.Contains(e.Text, c.text) || !slices.Equal(e.Services, c.services) {
			t.Errorf("%s: %+v", c.reason, e)
		}
	}
}
