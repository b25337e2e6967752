package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/console"
	"github.com/wagglehq/waggle/pkg/app"
)

// TestNobodyElseIsTheListener: a name leads to the control network or nowhere, whoever takes it
// elsewhere.
func TestNobodyElseIsTheListener(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		host, listener, want string
	}{
		"it is there":             {"waggle_listener", "127.0.0.1", ""},
		"a tenant has the name":   {"waggle_listener", "127.9.0.1", "waggle_listener is not on the network waggle_control"},
		"nobody has it":           {"waggle_listener", "", "no such host"},
		"an address is as it is":  {"127.0.0.1", "", ""},
		"a name outside of Swarm": {"localhost", "", ""},
	} {
		network := app.Network{
			Name: "waggle_control", Names: []string{"me"}, Own: func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("127.0.0.9/24")}, nil },
			Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
				switch {
				case name == "me.waggle_control.":
					return []netip.Addr{netip.MustParseAddr("127.0.0.9")}, nil
				case name == "waggle_listener.waggle_control." && c.listener != "":
					return []netip.Addr{netip.MustParseAddr(c.listener)}, nil
				}
				return nil, fmt.Errorf("%s: no such host", name)
			},
		}
		answer, err := console.OnNetwork(network).Get("http://" + c.host + ":" + address.Port()) //nolint:noctx // a test's own server
		if err == nil {
			answer.Body.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
