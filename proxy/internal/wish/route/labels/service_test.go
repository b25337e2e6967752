package labels_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

var opts = labels.Options{Networks: []string{"waggle"}}

func TestFromService(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"a path and a port", []string{"servicePath", "/demo", "port", "8080"},
			"any /demo -> web-be8080_0 tasks.web.:8080"},
		{"several of both, without white space and repetitions", []string{"servicePath", "/b, /a,/a,", "serviceDomain", "ACME.com, *.acme.com", "port", "80"},
			"*.acme.com,acme.com /a,/b -> web-be80_0 tasks.web.:80"},
		{"a domain without a path means every path", []string{"serviceDomain", "acme.com", "port", "80"},
			"acme.com / -> web-be80_0 tasks.web.:80"},
		{"indexed destinations inherit what they lack, and gaps are allowed", []string{"servicePath.1", "/one", "port.1", "8081", "servicePath.7", "/", "port", "8080"},
			"any /one -> web-be8081_1 tasks.web.:8081; any / -> web-be8080_7 tasks.web.:8080"},
		{"the un-indexed set is no destination beside indexed ones", []string{"servicePath", "/none", "serviceDomain.1", "a.com", "port", "1"},
			"a.com /none -> web-be1_1 tasks.web.:1"},
		{"the virtual IP if asked for", []string{"servicePath", "/", "port", "1", "discoveryType", "VIP"},
			"any / -> web-be1_0 web.:1"},
		{"no port", []string{"servicePath", "/a"},
			`com.df.port="": want the number of the port on which the service listens`},
		{"a bad number", []string{"servicePath", "/a", "port", "http"},
			`com.df.port="http": want a whole number from 1 to 65535`},
		{"faults of one index name it, all are told", []string{"servicePath.1", "a", "port.1", "0"},
			`com.df.servicePath.1="a": want paths such as /shop, beginning with a slash, of visible ASCII characters without ? and #; com.df.port.1="0": want a whole number from 1 to 65535`},
		{"a line break", []string{"servicePath", "/a\n  http-request allow", "port", "80"},
			`com.df.servicePath="/a\n  http-request allow": want text on one line, without control characters`},
		{"a wildcard that would take in strangers", []string{"serviceDomain", "*acme.com", "port", "80"},
			`com.df.serviceDomain="*acme.com": want names such as acme.com or *.acme.com; for both write acme.com,*.acme.com`},
		{"a host with a scheme", []string{"serviceDomain", "http://a.com", "port", "80"},
			`com.df.serviceDomain="http://a.com": want host names such as acme.com or *.acme.com, without scheme, port and path`},
		{"an empty list", []string{"servicePath", " , ", "port", "80"}, `com.df.servicePath=" , ": want at least one path such as /shop`},
		{"one route twice", []string{"servicePath.1", "/a", "servicePath.2", "/a,/b", "port", "80"},
			`com.df.servicePath.2="/a,/b": want a path that is not already that of index 1`},
		{"what is not supported yet is refused, not ignored", []string{"servicePath", "/a", "port", "80", "templateBePath", "/x"},
			`com.df.templateBePath="/x": want no such label: this version of Waggle does not support it yet`},
		{"a brace, which would end a condition of HAProxy's", []string{"servicePath", "}", "pathType", "path_reg", "port", "80", "userAgent", "}", "serviceHeader", "X:}"},
			`com.df.servicePath="}": want regular expressions of visible ASCII characters, such as ^/v[0-9]+/; com.df.serviceHeader="(hidden)": want headers such as X-Version:3; com.df.userAgent="}": want visible ASCII characters`},
		{"an index that is no destination, beside one that is", []string{"servicePath", "/a", "port", "80", "reqMode.2", "tcp", "srcPort.2", "6379"},
			`com.df.srcPort.2="6379": want beside it one of servicePath, serviceDomain, port, httpsPort at the same index, such as com.df.port.2: without it 2 is no destination, and this label has no effect; com.df.reqMode.2="tcp": want beside it one of servicePath, serviceDomain, port, httpsPort at the same index, such as com.df.port.2: without it 2 is no destination, and this label has no effect`},
		{"an index that is no destination, and none that is", []string{"port", "5432", "reqMode.1", "tcp", "srcPort.1", "5432"},
			`com.df.srcPort.1="5432": want beside it one of servicePath, serviceDomain, port, httpsPort at the same index, such as com.df.port.1: without it 1 is no destination, and this label has no effect; com.df.reqMode.1="tcp": want beside it one of servicePath, serviceDomain, port, httpsPort at the same index, such as com.df.port.1: without it 1 is no destination, and this label has no effect`},
		{"a guard at an index that is no destination", []string{"servicePath.1", "/a", "port.1", "80", "users.2", "ann:x"},
			`com.df.users.2="(hidden)": want beside it one of servicePath, serviceDomain, port, httpsPort at the same index, such as com.df.port.2: without it 2 is no destination, and this label has no effect`},
		{"a label of others at an index", []string{"servicePath", "/a", "port", "80", "alertName.2", "x"}, "any /a -> web-be80_0 tasks.web.:80"},
		{"nothing about routes", []string{"scrapePort", "80"}, route.ErrNoRoute.Error()},
		{"a port alone", []string{"port", "80"}, route.ErrNoRoute.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := labels.FromService(routetest.Service("web", 1, c.labels...), opts)
			if text := describe(got, err); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func describe(s route.Service, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for i, r := range s.Routes {
		hosts := "any"
		if r.Hosts != nil {
			hosts = strings.Join(r.Hosts, ",")
		}
		b := s.Backends[i]
		out = append(out, fmt.Sprintf("%s %s -> %s %s:%d", hosts, strings.Join(r.Paths, ","), b.Name, b.Lookup, b.Port))
	}
	return strings.Join(out, "; ")
}

// TestDefaultBackend: one route leads to where all requests go that fit none, with TLS or not.
func TestDefaultBackend(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"none", []string{"port", "80"}, ""},
		{"a port", []string{"port", "80", "isDefaultBackend", "true"}, "web-be80_0"},
		{"one for TLS besides", []string{"port", "80", "httpsPort", "443", "isDefaultBackend", "true"}, "web-be80_0"},
		{"one for TLS besides, and an entry port", []string{"port", "80", "httpsPort", "443", "srcPort", "80", "isDefaultBackend", "true"}, "web-be80_0"},
		{"one for TLS alone", []string{"httpsPort", "443", "isDefaultBackend", "true"}, "web-be443_0s"},
		{"several entry ports", []string{"port", "80", "srcPort", "80,443", "isDefaultBackend", "true"}, "web-be80_0"},
		{"hosts that are compared in two ways", []string{"port", "80", "serviceDomain", "*.a.com,b", "serviceDomainAlgo", "hdr_beg(host)", "isDefaultBackend", "true"}, "web-be80_0"},
		{"an index of several", []string{"port", "80", "servicePath.1", "/a", "servicePath.2", "/b", "httpsPort.2", "443", "isDefaultBackend.2", "true"}, "web-be80_2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := labels.FromService(routetest.Service("web", 1, append([]string{"servicePath", "/a"}, c.labels...)...), opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range s.Routes {
				for _, claim := range r.Claims {
					if claim.Kind == route.ClaimRest {
						got = append(got, r.Backend)
					}
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %q", got, c.want)
			}
		})
	}
}

func TestServiceOnNoCommonNetwork(t *testing.T) {
	s := routetest.Service("web", 1, "servicePath", "/a", "port", "80")
	s.Networks = []string{"shop_default"}
	_, err := labels.FromService(s, opts)
	var missing *route.NetworkError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "shop_default") || !strings.Contains(missing.Hint(), "networks: [waggle]") {
		t.Fatalf("got %v, want a NetworkError that names both and the line to add", err)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("/a", "a.com", "80", "01")
	f.Add("/a\n  http-request allow", "*.a.com", "0", "x y")
	f.Add("/a,/b c", "a.com,,b.com:80", "99999", "%[src]")
	f.Add("/{{.X}}", "a'b.com", "8080\r", "\x00")
	f.Fuzz(func(t *testing.T, path, domain, port, order string) {
		got, err := labels.FromService(routetest.Service("web", 1, "servicePath", path, "serviceDomain", domain, "port", port, "aclName", order), opts)
		if err != nil {
			if label.First(err) == nil {
				t.Fatalf("the error names no label: %v", err)
			}
			return
		}
		for _, r := range got.Routes {
			for _, c := range r.Claims {
				if strings.ContainsFunc(c.String(), func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
					t.Fatalf("claim %q would not be one word of a table", c)
				}
			}
		}
	})
}
