package settings

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/place"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// container is on an overlay that it shares with services, on the control network, and
// on the bridge of its node, by which it gets out.
func container() place.Place {
	return place.Place{
		Networks: []place.Network{
			{Interface: "lo", Net: netip.MustParsePrefix("127.0.0.1/8")}, {Interface: "eth0", Net: netip.MustParsePrefix("10.90.0.7/16")},
			{Interface: "eth1", Net: netip.MustParsePrefix("10.0.1.9/24")}, {Interface: "eth2", Net: netip.MustParsePrefix("172.18.0.4/16")},
		},
		Gateways: map[string]netip.Addr{"eth2": netip.MustParseAddr("172.18.0.1")},
	}
}

// TestOwnNetworksAreNoTrustedProxies, unless they, or a part of them, are named.
func TestOwnNetworksAreNoTrustedProxies(t *testing.T) {
	for _, c := range []struct {
		trusted, is, isNot string
	}{
		{"10.0.0.0/8", "10.89.255.255 10.91.0.0 10.0.0.5 10.0.2.1 10.255.255.255", "10.90.0.1 10.90.255.255 10.0.1.1 11.0.0.1"},
		{"0.0.0.0/0", "203.0.113.9 10.91.0.0 127.0.0.1 172.18.0.1", "10.90.3.4 10.0.1.200"},
		{"10.90.0.0/16", "10.90.3.4", "10.91.0.1 10.0.1.1"},
		{"10.90.3.4,10.0.0.0/8", "10.90.3.4 10.91.0.1", "10.90.3.5"},
		{"10.90.3.0/24", "10.90.3.4", "10.90.4.4"},
		{"10.90.3.4,10.90.3.0/24,10.90.0.0/16", "10.90.3.4 10.90.3.5 10.90.99.1", "10.0.1.1"},
		{"10.90.3.77/8", "10.91.0.1", "10.90.3.77"},
		{"172.16.0.0/12", "172.18.0.1 172.17.0.1", "10.90.0.1"},
		{"192.0.2.1 2001:db8::/32", "192.0.2.1 2001:db8::5", "192.0.2.2"},
	} {
		var s render.Settings
		if err := (&Config{TrustedProxies: c.trusted, Place: container()}).trusted(&s); err != nil {
			t.Fatal(err)
		}
		trusts := func(text string) bool {
			contains := func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(text)) }
			return slices.ContainsFunc(s.TrustedProxies, contains) && !slices.ContainsFunc(s.Untrusted, contains)
		}
		for text := range strings.FieldsSeq(c.is) {
			if !trusts(text) {
				t.Errorf("%s: %s is not trusted: %v but %v", c.trusted, text, s.TrustedProxies, s.Untrusted)
			}
		}
		for text := range strings.FieldsSeq(c.isNot) {
			if trusts(text) {
				t.Errorf("%s: %s is trusted: %v but %v", c.trusted, text, s.TrustedProxies, s.Untrusted)
			}
		}
	}
}
