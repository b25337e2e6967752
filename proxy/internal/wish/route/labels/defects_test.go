package labels_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// list makes a list of so many elements.
func list(n int, form string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf(form, i)
	}
	return strings.Join(elements, ",")
}

// TestTheLabelAtFaultIsNamed: what HAProxy would refuse, or what could never work, is a
// fault of the label that says it.
func TestTheLabelAtFaultIsNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		// fault is the label at fault without its prefix, with what its fault says; empty if there is none.
		fault, says string
	}{
		{"a request's header in an answer", []string{"setResHeader", "X-A %[req.hdr(Foo)]"}, "setResHeader", "no longer there"},
		{"also behind text", []string{"addResHeader", "X-A v-%[req.hdr(Foo)]"}, "addResHeader", "no longer there"},
		{"in a request", []string{"setReqHeader", "X-A %[req.hdr(Foo)]"}, "", ""},
		{"what an answer may tell of its connection", []string{"setResHeader", "X-A %[src]:%[src_port] %[dst_port] %[ssl_fc_sni] %[unique-id]"}, "", ""},

		{"too many agents", []string{"userAgent", list(41, "a%d")}, "userAgent", "at most 40"},
		{"too many paths to leave out", []string{"servicePathExclude", list(41, "/a%d")}, "servicePathExclude", "at most 40"},
		{"two lists that are too long together", []string{"servicePathExclude", list(24, "/a%d"), "userAgent", list(30, "a%d")}, "userAgent", "together at most 55 words"},
		{"whichever is the longer", []string{"servicePathExclude", list(30, "/a%d"), "userAgent", list(24, "a%d")}, "servicePathExclude", "together at most 55 words"},
		{"many short ones", []string{"serviceHeader", list(8, "X-%d:v")}, "serviceHeader", "together at most 55 words"},
		{"as many as there may be", []string{"serviceHeader", list(7, "X-%d:v")}, "", ""},
		{"the way to compare paths takes words too", []string{"pathType", "path_end", "userAgent", list(40, "a%d"), "srcPort", "80"}, "userAgent", "together at most 55 words"},
		{"and so does the one to compare hosts", []string{"serviceDomain", "acme", "serviceDomainAlgo", "hdr_dom(host)", "userAgent", list(40, "a%d"), "srcPort", "80"}, "userAgent", "together at most 55 words"},
		{"and the port for TLS", []string{"httpsPort", "81", "pathType", "path_end", "userAgent", list(40, "a%d")}, "userAgent", "together at most 55 words"},

		{"a redirect to itself", []string{"serviceDomain", "acme.com", "redirectFromDomain", "Acme.com"}, "redirectFromDomain", "acme.com to acme.com"},
		{"one of several", []string{"serviceDomain", "acme.com", "redirectFromDomain", "www.acme.com,acme.com"}, "redirectFromDomain", "acme.com to acme.com"},
		{"two indexes that lead to each other", []string{"serviceDomain.1", "a.com", "redirectFromDomain.1", "b.com", "serviceDomain.2", "b.com", "redirectFromDomain.2", "a.com"},
			"redirectFromDomain.1", "b.com to a.com to b.com"},
		{"three in a circle", []string{"serviceDomain.1", "b.com", "redirectFromDomain.1", "a.com", "serviceDomain.2", "c.com", "redirectFromDomain.2", "b.com",
			"serviceDomain.3", "a.com", "redirectFromDomain.3", "c.com"}, "redirectFromDomain.1", "a.com to b.com to c.com to a.com"},
		{"one behind the other", []string{"serviceDomain.1", "b.com", "redirectFromDomain.1", "a.com", "serviceDomain.2", "c.com", "redirectFromDomain.2", "b.com"}, "", ""},

		{"a port by which no request comes", []string{"srcPort", "8081"}, "srcPort", "one of the proxy's ports for requests: 80, 443"},
		{"the port of the statistics", []string{"srcPort", "8404"}, "srcPort", "one of the proxy's ports for requests: 80, 443"},
		{"at its index", []string{"srcPort.1", "8081", "servicePath.1", "/a"}, "srcPort.1", "one of the proxy's ports for requests: 80, 443"},
		{"one by which they come", []string{"srcPort", "443"}, "", ""},
		{"none for TLS", []string{"httpsPort", "81", "srcHttpsPort", "8443"}, "srcHttpsPort", "one of the proxy's ports for requests: 80, 443"},

		{"an address without a zone", []string{"outboundHostname", "fe80::1%eth0"}, "outboundHostname", "a host name or an address"},
		{"the proxy itself", []string{"outboundHostname", "127.0.0.1"}, "outboundHostname", "127.0.0.1 is the proxy itself"},
		{"the proxy itself as IPv6", []string{"outboundHostname", "::1"}, "outboundHostname", "the proxy itself"},
		{"the proxy itself as mapped IPv4", []string{"outboundHostname", "[::ffff:127.0.0.1]"}, "outboundHostname", "the proxy itself"},
		{"the proxy itself by its usual name", []string{"outboundHostname", "localhost"}, "outboundHostname", "the proxy itself"},
		{"what clouds keep", []string{"outboundHostname", "169.254.169.254"}, "outboundHostname", "link-local"},
		{"the same, below HTTP", []string{"reqMode", "tcp", "srcPort", "2222", "outboundHostname", "127.0.0.1"}, "outboundHostname", "the proxy itself"},
		{"a question to the proxy itself", []string{"forwardAuth", "http://127.0.0.1:8080/"}, "forwardAuth", "the proxy itself"},
		{"a question to the proxy itself by name", []string{"forwardAuth", "http://LOCALHOST/"}, "forwardAuth", "the proxy itself"},
		{"a question to what clouds keep", []string{"forwardAuth", "http://[::ffff:169.254.169.254]/latest"}, "forwardAuth", "link-local"},
		{"an address that is none's", []string{"outboundHostname", "0.0.0.0"}, "outboundHostname", "a host name or an address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := opts
			o.Ports, o.EntryPorts = []int{80, 443, 8404}, []int{80, 443}
			finds(t, c.labels, o, c.fault, c.says)
		})
	}
}

// finds checks that a label beside a path and a port is at fault, named without the prefix,
// and what the fault says; without a name that there is none. No password is shown.
func finds(t *testing.T, pairs []string, o labels.Options, fault, says string) {
	t.Helper()
	_, err := labels.FromService(routetest.Service("web", 1, append([]string{"servicePath", "/", "port", "80"}, pairs...)...), o)
	f := label.First(err)
	switch {
	case fault == "" && err != nil:
		t.Errorf("%v, want no fault", err)
	case fault != "" && (f == nil || f.Label != catalog.Prefix+fault || !strings.Contains(f.Want, says)):
		t.Errorf("%v, want a fault of %s that says %q", err, fault, says)
	case f != nil && strings.Contains(f.Error(), "u:p"):
		t.Errorf("%v shows a password", f)
	}
}

// TestAnAddressStandsForItself: it is no name to be asked for, in whatever form it is written.
func TestAnAddressStandsForItself(t *testing.T) {
	for _, c := range []struct{ text, lookup, addr string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"192.0.2.1.", "192.0.2.1", "192.0.2.1"},
		{"2001:DB8:0::1", "2001:db8::1", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"[2001:db8::1]", "2001:db8::1", "2001:db8::1"},
		{"gone.example", "gone.example.", ""},
		{"", "tasks.web.", ""},
	} {
		t.Run(c.text, func(t *testing.T) {
			pairs := []string{"servicePath", "/", "port", "80"}
			if c.text != "" {
				pairs = append(pairs, "outboundHostname", c.text)
			}
			s, err := labels.FromService(routetest.Service("web", 1, pairs...), opts)
			if err != nil {
				t.Fatal(err)
			}
			b := s.Backends[0]
			addr, ok := b.Literal()
			if b.Lookup != c.lookup || ok != (c.addr != "") || ok && addr.String() != c.addr {
				t.Errorf("%q, address %v %v; want %q, %q", b.Lookup, addr, ok, c.lookup, c.addr)
			}
		})
	}
}
