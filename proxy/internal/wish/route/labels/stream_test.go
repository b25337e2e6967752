package labels_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

func TestStreamOfLabels(t *testing.T) {
	o := opts
	o.Ports, o.DomainAlgo, o.AllowRaw = []int{80, 8080}, "hdr_dom(host)", true
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"a port and nothing else", []string{"reqMode", "tcp", "srcPort", "6379", "port", "6380"},
			"6379 all -> web-tcp6380_0 tasks.web.:6380"},
		{"the mode in any case of letters", []string{"reqMode", " Tcp", "srcPort", "1", "port", "2"},
			"1 all -> web-tcp2_0 tasks.web.:2"},
		{"paths mean nothing to tcp", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "servicePath", "/", "pathType", "path"},
			"1 all -> web-tcp2_0 tasks.web.:2"},
		{"domains are server names, however hosts of HTTP are compared by default", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceDomain", "B.com,*.a.com"},
			"1 end .a.com, str b.com -> web-tcp2_0 tasks.web.:2"},
		{"the way to compare them, as HAProxy writes it", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceDomain", ".a.com", "serviceDomainAlgo", "req.ssl_sni -i -m end"},
			"1 end .a.com -> web-tcp2_0 tasks.web.:2"},
		{"a way that is HTTP's", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceDomain", "a.com", "serviceDomainAlgo", "hdr(host)"},
			`com.df.serviceDomainAlgo="hdr(host)": want req_ssl_sni, or with a way to compare (beg, dom, end, reg, str or sub) such as req_ssl_sni -m end`},
		{"paths are the server names of sni", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", "a.,b.", "pathType", "req_ssl_sni -m beg", "serviceDomain", "x.com"},
			"1 beg a., beg b. -> web-tcp2_0 tasks.web.:2"},
		{"without them the domains are", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "serviceDomain", "x.com"},
			"1 str x.com -> web-tcp2_0 tasks.web.:2"},
		{"an expression", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", `^A[0-9]+\.`, "pathType", "req_ssl_sni -i -m reg"},
			`1 reg ^A[0-9]+\. -> web-tcp2_0 tasks.web.:2`},
		{"an expression that is none", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", `(`, "pathType", "req_ssl_sni -i -m reg"},
			`com.df.servicePath="(": want server names such as www.acme.com or *.acme.com, or what pathType says`},
		{"a path where a name belongs", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", "/a"},
			`com.df.servicePath="/a": want server names such as www.acme.com or *.acme.com, or what pathType says`},
		{"sni without any name", []string{"reqMode", "sni", "srcPort", "1", "port", "2"},
			`com.df.servicePath="": want at least one server name such as www.acme.com`},
		{"sni with an empty list", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", ","},
			`com.df.servicePath=",": want at least one server name such as www.acme.com`},
		{"a flag that is not known", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", "a", "pathType", "req_ssl_sni -f /etc/passwd"},
			`com.df.pathType="req_ssl_sni -f /etc/passwd": want req_ssl_sni, or with a way to compare (beg, dom, end, reg, str or sub) such as req_ssl_sni -m end`},
		{"no ports", []string{"reqMode", "tcp"},
			`com.df.srcPort="": want the number of the port of the proxy on which connections come in; com.df.port="": want the number of the port on which the service listens`},
		{"a port of the proxy", []string{"reqMode", "tcp", "srcPort", "8080", "port", "2"},
			`com.df.srcPort="8080": want a port that the proxy does not use itself`},
		{"a mode that is none", []string{"reqMode", "udp", "port", "2"}, `com.df.reqMode="udp": want one of http, tcp, sni`},
		{"indexes inherit, and may mix modes", []string{"reqMode.1", "tcp", "srcPort.1", "1", "port", "2", "port.1", "3", "servicePath.2", "/a"},
			"1 all -> web-tcp3_1 tasks.web.:3; http web-be2_2"},
		{"one port twice", []string{"reqMode", "tcp", "srcPort", "1", "port.1", "2", "port.2", "3"},
			`com.df.srcPort="1": want something else than index 1, which has TCP port 1 already`},
		{"two minds about one port", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath.1", "a", "servicePath.2", "b", "timeoutClient.1", "1", "timeoutClient.2", "2"},
			`com.df.timeoutClient.2="2": want the same at all indexes of TCP port 1, one of which has 1s`},
		{"another host", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "outboundHostname", "db.acme.com"},
			"1 all -> web-tcp2_0 db.acme.com.:2"},
		{"a group", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceGroup", "db", "balanceGroup", "static-rr"},
			"1 all -> group:db tasks.web.:2 of db by web_0 roundrobin"},
		{"a group with a bad name, by no algorithm", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceGroup", "d:b", "balanceGroup", "uri"},
			`com.df.serviceGroup="d:b": want a name of letters, digits, dots, dashes and underscores; com.df.balanceGroup="uri": want one of roundrobin, leastconn, first, random, source, static-rr`},
		{"raw text in what others share", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "serviceGroup", "db", "backendExtra", "option tcpka"},
			`com.df.backendExtra="option tcpka": want no com.df.serviceGroup beside it`},
		{"a label of HTTP alone", []string{"reqMode", "tcp", "srcPort", "1", "port", "2", "sslVerifyNone", "true"},
			`com.df.sslVerifyNone="true": want no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it`},
		{"whatever it says", []string{"reqMode", "sni", "srcPort", "1", "port", "2", "servicePath", "a.com", "compressionAlgo", "gzip", "denyHttp", "false"},
			`com.df.denyHttp="false": want no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it; ` +
				`com.df.compressionAlgo="gzip": want no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it`},
		{"what guards, although another index may have been meant", []string{"reqMode.1", "tcp", "srcPort.1", "1", "port", "2", "port.1", "2", "servicePath.2", "/a", "allowedMethods", "GET"},
			`com.df.allowedMethods="GET": want no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it`},
		{"what does not guard is inherited by the index that it is for", []string{"reqMode.1", "tcp", "srcPort.1", "1", "port", "2", "port.1", "2", "servicePath.2", "/a", "compressionAlgo", "gzip"},
			"1 all -> web-tcp2_1 tasks.web.:2; http web-be2_2"},
		{"unless there is none", []string{"reqMode", "tcp", "srcPort.1", "1", "port.1", "2", "srcPort.2", "3", "port.2", "4", "compressionAlgo", "gzip"},
			`com.df.compressionAlgo="gzip": want no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it`},
		{"a domain that is inherited beside the names of sni", []string{"serviceDomain", "x.com", "servicePath.1", "/a", "port", "2", "reqMode.2", "sni", "servicePath.2", "a.com", "srcPort.2", "1"},
			"1 str a.com -> web-tcp2_2 tasks.web.:2; http web-be2_1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := labels.FromService(routetest.Service("web", 1, c.labels...), o)
			if text := describeStreams(got, err); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func describeStreams(s route.Service, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, st := range s.Streams {
		b := s.Backends[slices.IndexFunc(s.Backends, func(b route.Backend) bool { return b.Name == st.Backend })]
		text := fmt.Sprintf("%d %s -> %s %s:%d", st.Port, names(st.Names), b.Name, b.Lookup, b.Port)
		if b.Share.Group != "" {
			text += " of " + b.Share.Group + " by " + b.Share.Member + " " + b.Stream.Spread.Balance
		}
		out = append(out, text)
	}
	for _, r := range s.Routes {
		out = append(out, "http "+r.Backend)
	}
	return strings.Join(out, "; ")
}

func names(list []route.ServerName) string {
	if list == nil {
		return "all"
	}
	var out []string
	for _, n := range list {
		out = append(out, string(n.Match)+" "+n.Value)
	}
	return strings.Join(out, ", ")
}

// TestNoLabelOfHTTPIsPassedOverBelowIt: each is a fault that names it, and no other label is.
func TestNoLabelOfHTTPIsPassedOverBelowIt(t *testing.T) {
	for mode, way := range map[string][]string{
		"tcp": {"reqMode", "tcp", "srcPort", "1", "port", "2"},
		"sni": {"reqMode", "sni", "srcPort", "1", "port", "2", "serviceDomain", "a.example.com"},
	} {
		for _, spec := range labels.Table() {
			_, err := labels.FromService(routetest.Service("web", 1, append(slices.Clone(way), spec.Name, "x")...), opts)
			refused := err != nil && strings.Contains(err.Error(), catalog.Prefix+spec.Name+"=") && strings.Contains(err.Error(), "where the proxy sees no requests")
			if refused != spec.HTTPOnly {
				t.Errorf("%s: %s, of HTTP alone %v, gives %v", mode, spec.Name, spec.HTTPOnly, err)
			}
		}
	}
}
