package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestAddress: what is inside is never outside, in whatever form it is written, but for
// what the operator names exactly.
func TestAddress(t *testing.T) {
	inside := []Range{
		{netip.MustParsePrefix("10.0.1.0/24"), "on the control network"},
		Single(netip.MustParseAddr("192.0.2.10"), "the node m1"),
	}
	for _, c := range []struct{ outbound, host, addr, want string }{
		{"", "a.example", "198.51.100.7", ""},
		{"", "", "2001:db8::1", ""},
		{"", "", "10.20.0.1", ""},
		{"", "", "127.0.0.1", "the proxy itself"},
		{"", "rebinds.example", "127.8.9.1", "the proxy itself"},
		{"", "", "::1", "the proxy itself"},
		{"", "", "::ffff:127.0.0.1", "the proxy itself"},
		{"", "", "::127.0.0.1", "the proxy itself"},
		{"", "", "64:ff9b::7f00:1", "the proxy itself"},
		{"", "", "2002:7f00:1::1", "the proxy itself"},
		{"", "", "0.0.0.0", "the proxy itself"},
		{"", "", "::", "the proxy itself"},
		{"", "", "169.254.169.254", "link-local"},
		{"", "", "::ffff:169.254.169.254", "link-local"},
		{"", "", "fe80::1", "link-local"},
		{"", "", "fd00:ec2::254", "a cloud keeps"},
		{"", "", "224.0.0.1", "no address of a host"},
		{"", "", "255.255.255.255", "no address of a host"},
		{"", "waggle_alertmanager", "10.0.1.7", "on the control network"},
		{"", "", "::ffff:10.0.1.7", "on the control network"},
		{"", "", "192.0.2.10", "the node m1"},
		{"", "", "192.0.2.11", ""},

		{"legacy.example.com,10.20.0.0/16", "legacy.example.com", "198.51.100.7", ""},
		{"legacy.example.com,10.20.0.0/16", "LEGACY.example.com.", "198.51.100.7", ""},
		{"legacy.example.com,10.20.0.0/16", "other.example.com", "198.51.100.7", "not among"},
		{"legacy.example.com,10.20.0.0/16", "other.example.com", "10.20.3.4", ""},
		{"legacy.example.com,10.20.0.0/16", "", "10.20.3.4", ""},
		{"legacy.example.com,10.20.0.0/16", "", "10.21.3.4", "not among"},
		{"legacy.example.com", "legacy.example.com", "127.0.0.1", "the proxy itself"},
		{"*.example.com", "a.b.example.com", "198.51.100.7", ""},
		{"*.example.com", "example.com", "198.51.100.7", "not among"},
		{"none", "a.example", "198.51.100.7", "not among"},
		{"none", "", "198.51.100.7", "not among"},

		// A wide network opens nothing that is inside, one within it does.
		{"0.0.0.0/0", "", "127.0.0.1", "the proxy itself"},
		{"10.0.0.0/8", "", "10.0.1.7", "on the control network"},
		{"10.0.1.7", "", "10.0.1.7", ""},
		{"10.0.1.7", "", "10.0.1.8", "on the control network"},
		{"10.0.1.0/24", "", "10.0.1.8", ""},
		{"192.0.2.10", "", "192.0.2.10", ""},
		{"127.1.0.0/16 0.0.0.0/0 ::/0", "", "127.1.0.3", ""},
		{"127.1.0.0/16 0.0.0.0/0 ::/0", "", "127.0.0.1", "the proxy itself"},
		{"127.1.0.0/16 0.0.0.0/0 ::/0", "", "::ffff:127.1.0.3", ""},
		{"127.1.0.0/16 0.0.0.0/0 ::/0", "ext.example", "198.51.100.7", ""},
		{"127.1.0.0/16 0.0.0.0/0 ::/0", "", "2001:db8::1", ""},
		{"::1", "", "::1", ""},
	} {
		r, err := Parse(c.outbound)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Address(c.host, netip.MustParseAddr(c.addr), inside)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("outbound=%q, %s of %q: %q, want %q", c.outbound, c.addr, c.host, got, c.want)
		}
	}
}

// TestForbidden: a list of networks forbids what Address does because it is inside.
func TestForbidden(t *testing.T) {
	inside := []Range{
		{netip.MustParsePrefix("10.0.1.0/24"), "on the control network"},
		Single(netip.MustParseAddr("10.0.1.9"), "itself"), Single(netip.MustParseAddr("192.0.2.10"), "the node m1"),
	}
	for _, text := range []string{"", "none", "a.example", "0.0.0.0/0", "10.0.0.0/8", "10.0.1.7", "10.0.1.0/24", "10.0.1.0/25 127.1.0.0/16", "192.0.2.10", "::1", "10.0.1.9"} {
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all := r.Forbidden(inside)
		for _, addr := range []string{
			"198.51.100.7", "10.20.0.1", "127.0.0.1", "127.1.0.3", "0.0.0.0", "169.254.169.254", "10.0.1.7", "10.0.1.8", "10.0.1.9", "10.0.1.200", "192.0.2.10", "192.0.2.11",
			"224.0.0.1", "::", "::1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1", "2001:db8::1",
		} {
			a := netip.MustParseAddr(addr)
			why := r.Address("a.example", a, inside)
			want := why != "" && !strings.Contains(why, "not among")
			if got := slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) }); got != want {
				t.Errorf("outbound=%q: %s is forbidden: %t, and Address says %q", text, addr, got, why)
			}
		}
	}
}

// TestOnly: a host that the operator has not listed must be in his networks.
func TestOnly(t *testing.T) {
	for _, c := range []struct{ outbound, host, want string }{
		{"", "a.example", "[]"}, {"a.example 10.20.0.0/16", "A.example.", "[]"}, {"*.example 10.20.0.0/16", "a.example", "[]"}, {"10.20.0.0/16 b.example", "a.example", "[10.20.0.0/16]"},
	} {
		r, err := Parse(c.outbound)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.Only(c.host)); got != c.want {
			t.Errorf("outbound=%q, %s: %s, want %s", c.outbound, c.host, got, c.want)
		}
	}
}

func TestHost(t *testing.T) {
	for _, c := range []struct{ outbound, host, want string }{
		{"", "legacy.example.com", ""},
		{"", "LocalHost", "the proxy itself"},
		{"", "a.localhost.", "the proxy itself"},
		{"localhost", "localhost", ""},
		{"legacy.example.com", "other.example.com", "the setting outbound"},
		{"legacy.example.com 10.20.0.0/16", "other.example.com", ""}, // its addresses decide
		{"none", "legacy.example.com", "the setting outbound"},
	} {
		r, err := Parse(c.outbound)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Host(c.host); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("outbound=%q, %q: %q, want %q", c.outbound, c.host, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"*", "*.", "a.*.b", "10.0.0.0/99", "fe80::1%eth0", "none,a.example", "http://a.example"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "want host names") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
