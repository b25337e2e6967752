package settings

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// TestClients: what one client may have is a number, or a rate, or nothing.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		connections int
		rate        string
		err         string
	}{
		{0, "", ""}, {100, "", ""}, {0, "100/10s", ""}, {-1, "", "client-connections"}, {0, "100", "client-connection-rate"}, {0, "0/1s", "client-connection-rate"},
	} {
		var s render.Settings
		err := (&clients{c.connections, c.rate}).settings(&s)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%d and %q: %v, want %q", c.connections, c.rate, err, c.err)
		}
		if err == nil && (s.Clients.Connections != c.connections || (s.Clients.Rate != nil) != (c.rate != "")) {
			t.Errorf("%d and %q become %+v", c.connections, c.rate, s.Clients)
		}
	}
}
